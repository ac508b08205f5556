"""Weights: which ones exist, where they may come from, and whether the bytes here are the right ones.

A model is data. It is downloaded or carried in as a file, checked against one pinned SHA-256, and never
imported. `catalogue.toml` beside this file lists every model; `store` fetches, checks and finds them.
"""

from pipelines.models.catalogue import CatalogueEntry, Source, catalogue, entry
from pipelines.models.store import (
    ModelState,
    ModelStatus,
    import_file,
    list_models,
    locate,
    pull,
    record,
    verify,
)

__all__ = [
    "CatalogueEntry",
    "ModelState",
    "ModelStatus",
    "Source",
    "catalogue",
    "entry",
    "import_file",
    "list_models",
    "locate",
    "pull",
    "record",
    "verify",
]
