"""An embedding that needs no network and still finds what a question is about: hashed words."""

from __future__ import annotations

import math
import re
import zlib

from llama_index.core.base.embeddings.base import BaseEmbedding

_SIZE = 256


class WordEmbedding(BaseEmbedding):
    """Bag of hashed words, rarer (longer) ones heavier, normalised; the same on every machine."""

    def _get_text_embedding(self, text: str) -> list[float]:
        vector = [0.0] * _SIZE
        for word in re.findall(r"\w+", text.lower()):
            vector[zlib.crc32(word.encode()) % _SIZE] += len(word) ** 1.5
        length = math.sqrt(sum(value * value for value in vector)) or 1.0
        return [value / length for value in vector]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)
