"""What the catalog is like, told by a few of its datasets, so that searches take the short way."""

import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice, zip_longest
from typing import Final

from sqlalchemy import Connection, func, select

from rexec_ep_api.catalog.models import datasets
from rexec_ep_api.catalog.texts import trigrams

_SIZE: Final = 400
_LONGEST: Final = 4096
_SECONDS: Final = 30.0
_MORE: Final = 2


class Sample:
    """The texts of some datasets.

    Parameters
    ----------
    texts
        What they are found by.
    """

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self._texts = texts
        self._all = (1 << len(texts)) - 1
        # Which texts have a trigram, a bit for each: combining such sets takes next to nothing.
        self._having: dict[str, int] = {}
        for place, text in enumerate(texts):
            for gram in trigrams(text):
                self._having[gram] = self._having.get(gram, 0) | 1 << place

    def more_than(self, share: float, texts: Sequence[str]) -> bool:
        """Tell whether more than a share of the datasets seem to have all of these texts."""
        few = share * len(self._texts)
        left = self._all
        for gram in _trigrams_of_all(texts):
            left &= self._having.get(gram, 0)
            if left.bit_count() <= few:
                return False
        having = sum(
            left >> place & 1 and all(text in one for text in texts)
            for place, one in enumerate(self._texts)
        )
        return having > few

    def rarest(self, texts: Sequence[str], most: int) -> list[str]:
        """Return trigrams of texts that few datasets have together: the others tell little.

        To look one up takes time, and so does to look at a dataset in vain. Those that leave
        nothing of the sample are few, and a few more tell apart what the sample does not show.
        """
        grams = _trigrams_of_all(texts)
        chosen: list[str] = []
        left = self._all
        while left and grams and len(chosen) < most:
            rarest = min(grams, key=lambda gram: (self._having.get(gram, 0) & left).bit_count())
            if self._having.get(rarest, 0) & left == left:
                break
            chosen.append(rarest)
            left &= self._having.get(rarest, 0)
        wanted = min(most, len(chosen) + _MORE) if self._texts else most
        # Those of one text are much the same, so each text has its turn.
        of_each = [sorted(trigrams(text), key=self._count) for text in texts]
        turns = (gram for turn in zip_longest(*of_each) for gram in turn if gram is not None)
        more = (gram for gram in dict.fromkeys(turns) if gram not in chosen)
        return [*chosen, *islice(more, wanted - len(chosen))]

    def _count(self, gram: str) -> int:
        return self._having.get(gram, 0).bit_count()


def _trigrams_of_all(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(gram for text in texts for gram in trigrams(text)))


class Sampling:
    """Keeps a sample that is never old, without anybody waiting for it."""

    def __init__(self) -> None:
        self._sample = Sample()
        self._due = 0.0
        self._lock = threading.Lock()

    def sample(self, renew: Callable[[Callable[[Connection], None]], object]) -> Sample:
        """Return the sample.

        Parameters
        ----------
        renew
            Called now and then with what takes a new one; may return before that is done.
        """
        if time.monotonic() >= self._due:
            with self._lock:
                due = time.monotonic() >= self._due
                if due:
                    self._due = time.monotonic() + _SECONDS
            if due:
                renew(self._take)
        return self._sample

    def _take(self, connection: Connection) -> None:
        seq = datasets.c.seq
        first, last = connection.execute(select(func.min(seq), func.max(seq))).one()
        if last is None:
            return
        step = max(1, (last - first) // _SIZE)
        text = func.substr(datasets.c.search_text, 1, _LONGEST)
        picked = select(text).where(seq.in_(range(last, first - 1, -step)[:_SIZE]))
        self._sample = Sample(connection.execute(picked).scalars().all())
