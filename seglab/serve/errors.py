"""What a caller is told when there is no prediction for it."""

from __future__ import annotations

import math

# Reason -> status. `seglab.serve.metrics.REFUSALS` names those that say nothing about the request itself.
STATUS = {
    "invalid": 400,
    "key": 401,
    "forbidden": 403,
    "not_found": 404,
    "method": 405,
    "not_acceptable": 406,
    "slow": 408,
    "bundle": 409,
    "too_large": 413,
    "content_type": 415,
    "image": 422,
    "query": 422,
    "rate": 429,
    "internal": 500,
    "queue": 503,
    "wait": 503,
    "memory": 503,
    "connections": 503,
    "deadline": 504,
}


class Refused(Exception):  # noqa: N818 - an answer, and no fault of the program
    """A request that is answered with a status of 4xx or 5xx.

    Args:
        code: The reason in one word, of `STATUS`.
        message: What was expected, what came, what to do.
        retry_after: Seconds after which it may work.
    """

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, STATUS[code]
        self.retry_after = None if retry_after is None else max(1, math.ceil(retry_after))
