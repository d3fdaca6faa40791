"""Ask a server, and decide within seconds: used by `assets` and `photos` for everything remote.

A laptop without internet, a firewall that swallows packets and a captive portal must cost a lesson
three seconds, not the two minutes of a default timeout. A lookup of a host name cannot be timed out
in Python, so questions are asked in a thread that is left behind when it takes too long.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

#: How long a server may take to say anything at all, in seconds.
DECIDE_SECONDS = 3.0
#: How long a running download may stand still before it counts as dropped, in seconds.
STALL_SECONDS = 15.0
#: How long an answer is believed before the server is asked again, in seconds.
REMEMBER_SECONDS = 60.0

HTML_REASON = "the server answered a web page instead of the file (a captive portal or a login?)"


@dataclass(frozen=True)
class Answer:
    """What a server said about a URL.

    Attributes
    ----------
    reason : str
        Why the file cannot be had from there; empty when it can.
    concerns_host : bool
        The reason holds for every file of that server (it is down), not only for this one (404).
    """

    reason: str = ""
    concerns_host: bool = False

    @property
    def ok(self) -> bool:
        """Whether the server is ready to send the file."""
        return not self.reason


class DownloadError(RuntimeError):
    """A transfer that failed; `retry` says whether the same URL is worth another try."""

    def __init__(self, reason: str, *, retry: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry


_memory: dict[str, tuple[float, Answer]] = {}


def forget_answers() -> None:
    """Forget which servers answered, so that the next question is asked afresh."""
    _memory.clear()


def ask(urls: Sequence[str], timeout: float | None = None) -> list[Answer]:
    """Ask for the head of each URL, all at once, and return within `timeout` seconds.

    Parameters
    ----------
    urls : sequence of str
        http or https addresses.
    timeout : float, optional
        Seconds for all of them together; default `DECIDE_SECONDS`.

    Returns
    -------
    list of Answer
        One per URL. Failures are remembered for `REMEMBER_SECONDS`: those to reach a server for
        the whole host, others for the URL.
    """
    timeout = DECIDE_SECONDS if timeout is None else timeout
    inbox: queue.SimpleQueue[tuple[str, Answer]] = queue.SimpleQueue()
    answers = {url: answer for url in urls if (answer := _remembered(url)) is not None}
    waiting = {url for url in urls if url not in answers}
    for url in waiting:
        threading.Thread(target=_ask_into, args=(inbox, url, timeout), daemon=True).start()
    deadline = time.monotonic() + timeout
    while waiting:
        try:
            url, answer = inbox.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        waiting.discard(url)
        answers[url] = answer
        _remember(url, answer)
    for url in waiting:
        answers[url] = _silence(timeout)
        _remember(url, answers[url])
    return [answers[url] for url in urls]


def _silence(timeout: float) -> Answer:
    return Answer(f"no answer within {timeout:g} s", concerns_host=True)


def _ask_into(inbox: queue.SimpleQueue[tuple[str, Answer]], url: str, timeout: float) -> None:
    inbox.put((url, _ask_one(url, timeout)))


def _ask_one(url: str, timeout: float) -> Answer:
    import requests

    try:
        with requests.get(url, stream=True, timeout=timeout) as response:
            response.raise_for_status()
            return Answer(HTML_REASON) if _is_html_type(response) else Answer()
    except requests.HTTPError as error:
        return Answer(explain(error))
    except requests.Timeout:
        return _silence(timeout)
    except (requests.RequestException, OSError, ValueError) as error:
        return Answer(explain(error), concerns_host=True)


def _is_html_type(response: Any) -> bool:
    kind = response.headers.get("Content-Type", "").lower()
    return kind.startswith(("text/html", "application/xhtml"))


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _remembered(url: str) -> Answer | None:
    for key in (_host(url), url):
        when, answer = _memory.get(key, (0.0, None))
        age = time.monotonic() - when
        if answer is not None and age < REMEMBER_SECONDS:
            wait = REMEMBER_SECONDS - age
            ago = f"{answer.reason} {age:.0f} s ago; it is asked again in {wait:.0f} s"
            return answer if age < 1 else Answer(ago, answer.concerns_host)
    return None


def _remember(url: str, answer: Answer) -> None:
    if not answer.ok:
        _memory[_host(url) if answer.concerns_host else url] = (time.monotonic(), answer)


def explain(error: BaseException) -> str:
    """Say in plain words why a request failed."""
    import requests

    text = str(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.exceptions.SSLError):
        return f"the secure connection failed ({_innermost(error)})"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy did not let the request through ({_innermost(error)})"
    if isinstance(error, requests.Timeout) or "Read timed out" in text:
        return "the server stopped answering"
    if "NameResolution" in text or "getaddrinfo" in text or "Name or service" in text:
        return "the host name could not be looked up (no internet?)"
    if "refused" in text or "WinError 10061" in text:
        return "the connection was refused (no server there)"
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return f"the connection was dropped ({_innermost(error)})"
    return f"{type(error).__name__}: {text}"


def _innermost(error: BaseException) -> str:
    """Return the last words of a chain of wrapped errors, which name the cause."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error) or type(error).__name__


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn whatever `requests` raises into a `DownloadError` with a plain reason."""
    import requests

    try:
        yield
    except requests.HTTPError as error:
        raise DownloadError(explain(error)) from error
    except (
        requests.ConnectionError,  # also a connection that stalls while the body arrives
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,  # fewer bytes than the server announced
    ) as error:
        raise DownloadError(explain(error), retry=True) from error
    except requests.RequestException as error:
        raise DownloadError(explain(error)) from error


def timeouts() -> tuple[float, float]:
    """Seconds to connect within, and seconds that a running transfer may stand still."""
    return DECIDE_SECONDS, STALL_SECONDS


def read_bytes(url: str, *, limit: int) -> bytes:
    """Download a small file into memory.

    Parameters
    ----------
    url : str
        http or https address.
    limit : int
        Most bytes to accept; reading stops there, whatever the server announced.

    Raises
    ------
    DownloadError
        No answer within `DECIDE_SECONDS`, an error status, a web page, more than `limit` bytes, or
        a transfer that broke off.
    """
    import requests

    (answer,) = ask([url])
    if not answer.ok:
        raise DownloadError(answer.reason)
    received = bytearray()
    with plain_errors(), requests.get(url, stream=True, timeout=timeouts()) as response:
        response.raise_for_status()
        if _is_html_type(response):
            raise DownloadError(HTML_REASON)
        for block in response.iter_content(chunk_size=1 << 16):
            received += block
            if len(received) > limit:
                raise DownloadError(f"it is larger than the limit of {limit / 1e6:.0f} MB")
    return bytes(received)
