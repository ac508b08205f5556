"""A small language model in this process: it restates one fact at a time and can add no digit.

The runtime (llama.cpp through xllamacpp) always listens somewhere. Here it gets a Unix socket in a folder
that only this user may enter, and the socket's name is removed as soon as the model is loaded: nobody can
connect, no port is opened, and it works where there is no network at all.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medviz.core.errors import NotAvailable
from medviz.core.facts import Fact
from medviz.core.segmentation import ModelRecord
from pipelines.models import locate
from pipelines.models import record as record_of

TITLE = "Qwen2.5-Coder 1.5B, in this process"
SOURCE = "model"
MODEL_ID = "qwen2.5-coder-1.5b"

_CONTEXT_TOKENS = 2048
_MOST_TOKENS = 72
_TEMPERATURES = (0.2, 0.5, 0.7, 0.9, 1.0)

# The example subjects are far from any operation of the product, so that nothing of them can leak unseen.
_PREFIX = """<|im_start|>system
You narrate a film for surgeons. Restate the given sentence in other words as one short, plain sentence. \
Keep every number, unit, name, side and "not". Add nothing.<|im_end|>
<|im_start|>user
The bridge is 120.5 m long.<|im_end|>
<|im_start|>assistant
From end to end, the bridge measures 120.5 m.<|im_end|>
<|im_start|>user
The least distance between the road and the river is 14 m.<|im_end|>
<|im_start|>assistant
At its closest, the road is 14 m from the river.<|im_end|>
<|im_start|>user
Old cables cannot be seen on this map.<|im_end|>
<|im_start|>assistant
This map cannot show old cables.<|im_end|>
<|im_start|>user
"""
_SUFFIX = "<|im_end|>\n<|im_start|>assistant\n"

_AMOUNT = re.compile(r"\d+(?:[.,]\d+)*(?:%| ?(?:mm|cm|ml|degrees|percent|HU)\b)?")


class EmbeddedWriter:
    """Asks the model for one sentence about one fact; the same fact and seed give the same sentence.

    The instructions are read once. Before every sentence the model's memory is cut back to exactly them, so
    that an answer does not depend on what was asked before.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        for _ in range(2):
            self._rewind()

    def write(self, fact: Fact, *, attempt: int, seed: int) -> str:
        """Return a sentence that restates `fact`; `attempt` counts from 0 and loosens the choice of words."""
        self._rewind()
        answer = self._server.handle_completions(
            {
                "prompt": f"{_PREFIX}{fact.sentence}{_SUFFIX}",
                "grammar": grammar_of(fact),
                "n_predict": _MOST_TOKENS,
                "temperature": _TEMPERATURES[min(attempt, len(_TEMPERATURES) - 1)],
                "top_k": 40,
                "top_p": 0.95,
                "seed": (seed * 1009 + attempt) % (1 << 31),
                "cache_prompt": True,
            }
        )
        return str(_text_of(answer)).strip()

    def _rewind(self) -> None:
        """Leave exactly the instructions in the model's memory."""
        self._server.handle_completions({"prompt": _PREFIX, "n_predict": 0, "cache_prompt": True})


@contextmanager
def open_writer(*, models: Path, threads: int) -> Iterator[EmbeddedWriter]:
    """Yield a writer with the model loaded.

    Raises
    ------
    WeightsMissing
        If the weights are not in `models`, or are not the pinned bytes.
    NotAvailable
        If the runtime cannot load them.
    """
    weights = locate(MODEL_ID, models)
    with tempfile.TemporaryDirectory(prefix="medviz-") as folder:
        socket = Path(folder) / "narrator.sock"
        server = _load(weights, socket, threads)
        socket.unlink(missing_ok=True)
        yield EmbeddedWriter(server)
        del server


def record() -> ModelRecord:
    """Return what a case says about this narrator."""
    return record_of(MODEL_ID)


def grammar_of(fact: Fact) -> str:
    """Return the GBNF grammar of a sentence about `fact`.

    Letters are free, capitals only where the fact has them; digits are possible only as the amounts of the
    fact's own sentence, each once and in order. What the letters say is the verifier's business.
    """
    anchors = [_quoted(f" {anchor}") for anchor in anchors_of(fact)]
    own = "".join(f" | {_quoted(token)}" for token in _capitals_of(fact))
    middle = " between ".join(anchors)
    body = f"before {middle} after" if anchors else 'letter{8,120} "."'
    return (
        f"root ::= [A-Z] {body}\n"
        "before ::= letter{1,90}\n"
        "between ::= letter{0,60}\n"
        'after ::= "." | [ ,] letter{1,80} "."\n'
        f"letter ::= [a-z ,]{own}\n"
    )


def anchors_of(fact: Fact) -> tuple[str, ...]:
    """Return the amounts that a sentence about `fact` must hold as they are written, in order."""
    return tuple(_AMOUNT.findall(fact.sentence))


def _capitals_of(fact: Fact) -> tuple[str, ...]:
    inside = fact.sentence[1:]
    return tuple(dict.fromkeys(re.findall(r"\b[A-Z][A-Za-z]*\b|-", inside)))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _load(weights: Path, socket: Path, threads: int) -> Any:
    from xllamacpp import CommonParams, Server

    parameters = CommonParams()
    parameters.model.path = str(weights)
    parameters.hostnames = [str(socket)]
    parameters.n_ctx, parameters.n_parallel, parameters.n_gpu_layers = _CONTEXT_TOKENS, 1, 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.warmup = parameters.ui = parameters.endpoint_slots = parameters.fit_params = False
    parameters.offline = True
    parameters.cache_ram_mib, parameters.n_threads_http, parameters.verbosity = 0, 1, -1
    try:
        return Server(parameters)
    except RuntimeError:
        raise NotAvailable(
            "The language model could not be loaded.",
            reason="MODEL_NOT_LOADED",
            mend="Run: medviz models verify. Or set narrator to template.",
        ) from None


def _text_of(answer: Any) -> str:
    if "choices" in answer:
        return str(answer["choices"][0]["text"])
    return str(answer.get("content", ""))
