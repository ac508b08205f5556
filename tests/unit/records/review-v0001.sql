BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE audit (
	seq INTEGER NOT NULL, 
	time VARCHAR(40) NOT NULL, 
	actor VARCHAR(64) NOT NULL, 
	action VARCHAR(32) NOT NULL, 
	case_id VARCHAR(64) NOT NULL, 
	detail_json TEXT NOT NULL, 
	previous_hash VARCHAR(64) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "audit" VALUES(1,'2026-03-04T09:30:00.000+00:00','Dr. Ada Byron','enrolled','','{"public_key":"05d28863036f1c91c5bc17bcdfbce79b3b631faa5790035a046ebecc26bdaa56","role":"clinician"}','0000000000000000000000000000000000000000000000000000000000000000','e29680e79d2666bcd4f77d9250f19eb69703eae88249f474e2211e5ba28bd4da');
INSERT INTO "audit" VALUES(2,'2026-03-04T09:30:00.000+00:00','medviz','submitted','C0001','{"draft":1,"manifest":"48ca6d9fba81e072db5c406d0de932f1d43c274e6f0db4c7125da764d65867e5","supersedes":0}','e29680e79d2666bcd4f77d9250f19eb69703eae88249f474e2211e5ba28bd4da','6ef999612203fd168a4b9d767bff7540ac79d69b93e53321944dfae6a725986a');
INSERT INTO "audit" VALUES(3,'2026-03-04T09:31:00.000+00:00','Dr. Ada Byron','approved','C0001','{"draft":1,"manifest":"48ca6d9fba81e072db5c406d0de932f1d43c274e6f0db4c7125da764d65867e5","signature":"8a7b4bca9c51d36627e29a559393c97f1f3a5eb6834fda3f9b01575d92f20558"}','6ef999612203fd168a4b9d767bff7540ac79d69b93e53321944dfae6a725986a','12b82e547545c8a0cede8b301b0353c83402165ce24039474069b014999c2daa');
CREATE TABLE decisions (
	id INTEGER NOT NULL, 
	draft_id INTEGER NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	case_id VARCHAR(64) NOT NULL, 
	manifest_sha256 VARCHAR(64) NOT NULL, 
	reviewer VARCHAR(64) NOT NULL, 
	decided_at VARCHAR(40) NOT NULL, 
	meaning TEXT NOT NULL, 
	public_key VARCHAR(64) NOT NULL, 
	signature VARCHAR(128) NOT NULL, 
	reason VARCHAR(64) NOT NULL, 
	remark TEXT NOT NULL, 
	rerun_from VARCHAR(64) NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(draft_id) REFERENCES drafts (id), 
	FOREIGN KEY(reviewer) REFERENCES reviewers (name)
);
INSERT INTO "decisions" VALUES(1,1,'approval','C0001','48ca6d9fba81e072db5c406d0de932f1d43c274e6f0db4c7125da764d65867e5','Dr. Ada Byron','2026-03-04T09:31:00.000+00:00','I have looked at the film, the plan and every finding, and I approve their release.','05d28863036f1c91c5bc17bcdfbce79b3b631faa5790035a046ebecc26bdaa56','db2743f3c0319610cac67daf528e49aa643fe8cbaef92beb027adf5dbc93e6462471346edf4e6785677973ca30bdaad7cb6b4f3b99d4e746470535a65d175f0d','','','');
CREATE TABLE drafts (
	id INTEGER NOT NULL, 
	case_id VARCHAR(64) NOT NULL, 
	manifest_sha256 VARCHAR(64) NOT NULL, 
	manifest_json TEXT NOT NULL, 
	findings_json TEXT NOT NULL, 
	folder TEXT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	submitted_at VARCHAR(40) NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "drafts" VALUES(1,'C0001','48ca6d9fba81e072db5c406d0de932f1d43c274e6f0db4c7125da764d65867e5','{"entries":[{"path":"captions.vtt","sha256":"1db0c103e8f5d0175be2cbf5e58786a0035fe2cd30a911d6c90526d0b61d80eb","size_bytes":8},{"path":"film.mp4","sha256":"9420d08c9f9ad93afe04c2e68393ebedf6a1105cdb31520587ca142cca678255","size_bytes":1051},{"path":"plan-report.html","sha256":"62fcba3bfacbc55f76c3dd8605807851b3f5ea2a2b3075f143c67bb0043a250e","size_bytes":15},{"path":"surfaces/skull.stl","sha256":"c4b8386aebdecdd286dec6942d635df1c3b630d2a0aa7e9f6840f51dc829b9cd","size_bytes":28}]}','["Not reliably seen: brainstem.", "2 sentences come from templates."]','cases/C0001/work/draft/1','approved','2026-03-04T09:30:00.000+00:00');
CREATE TABLE releases (
	id INTEGER NOT NULL, 
	draft_id INTEGER NOT NULL, 
	case_id VARCHAR(64) NOT NULL, 
	signature VARCHAR(128) NOT NULL, 
	folder TEXT NOT NULL, 
	copy_number INTEGER NOT NULL, 
	released_at VARCHAR(40) NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(draft_id) REFERENCES drafts (id)
);
CREATE TABLE reviewers (
	name VARCHAR(64) NOT NULL, 
	role VARCHAR(32) NOT NULL, 
	passphrase_hash TEXT NOT NULL, 
	public_key VARCHAR(64) NOT NULL, 
	locked_key_json TEXT NOT NULL, 
	enrolled_at VARCHAR(40) NOT NULL, 
	wrong_in_a_row INTEGER NOT NULL, 
	locked_until VARCHAR(40) NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "reviewers" VALUES('Dr. Ada Byron','clinician','$argon2id$v=19$m=65536,t=3,p=4$Qy9keY3/SW5A+YW3RIq3Kw$buf7ily5ulRiFfuNcc+O5KE5YsRN75wkQ3YOcnFEkeM','05d28863036f1c91c5bc17bcdfbce79b3b631faa5790035a046ebecc26bdaa56','{"kdf": "scrypt", "salt": "646cdece6323e877abae4a45cabbe612", "nonce": "90eea33846edecd2c0394b8c", "sealed": "20056a9b375347e87cfeeea07b7392e0c0c165c06fb866d44f226798ce5b12e72d14d6c396a98e4fb1c356907bd104db"}','2026-03-04T09:30:00.000+00:00',0,'');
CREATE INDEX ix_drafts_case_id ON drafts (case_id);
CREATE INDEX ix_drafts_state ON drafts (state);
CREATE INDEX ix_decisions_draft_id ON decisions (draft_id);
CREATE INDEX ix_decisions_case_id ON decisions (case_id);
CREATE INDEX ix_releases_case_id ON releases (case_id);
CREATE INDEX ix_releases_draft_id ON releases (draft_id);
CREATE INDEX ix_audit_case_id ON audit (case_id);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER decisions_no_update BEFORE UPDATE ON decisions BEGIN SELECT RAISE(ABORT, 'decisions is append-only'); END;
CREATE TRIGGER decisions_no_delete BEFORE DELETE ON decisions BEGIN SELECT RAISE(ABORT, 'decisions is append-only'); END;
CREATE TRIGGER releases_no_update BEFORE UPDATE ON releases BEGIN SELECT RAISE(ABORT, 'releases is append-only'); END;
CREATE TRIGGER releases_no_delete BEFORE DELETE ON releases BEGIN SELECT RAISE(ABORT, 'releases is append-only'); END;
COMMIT;
