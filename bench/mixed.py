"""One machine on SQLite: an import, an erasure and 20 page loads at once, through the real processes. The aim: 0 errors.

python -m bench.mixed [MESSAGES]
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import statistics
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

from bench.samples import write
from tests.journeys.people import PASSWORD
from tests.journeys.site import Site, running

READERS = 20
PAGES = ("/privacy/", "/conversations/", "/requests/", "/conversations/import/", "/how-it-works/")


class Reader:
    """Signed in, and loading pages one after the other."""

    def __init__(self, port: int, email: str) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}
        page = self.fetch("GET", "/accounts/login/")[1]
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        form = {"login": email, "password": PASSWORD, "csrfmiddlewaretoken": token[1] if token else ""}
        self.fetch("POST", "/accounts/login/", urllib.parse.urlencode(form))

    def fetch(self, method: str, path: str, body: str | None = None) -> tuple[int, str, float]:
        began = time.perf_counter()
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body is not None:
            headers |= {"Content-Type": "application/x-www-form-urlencoded"}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, _equals, rest = line.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return answer.status, text, time.perf_counter() - began


def main() -> None:
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    folder = Path(tempfile.mkdtemp(prefix="habeas-bench-"))
    export = folder / "export.json"
    (folder / "site").mkdir()
    write("chatgpt", export, messages)
    with running(Site(folder / "site", {})) as site:
        site.manage("make_sample_people")
        readers = [Reader(site.port, "mallory@sample.example") for _ in range(READERS)]
        errors: list[str] = []
        times: list[float] = []
        stop = threading.Event()

        def read(reader: Reader, first: int) -> None:
            number = first
            while not stop.is_set():
                path = PAGES[number % len(PAGES)]
                status, _text, seconds = reader.fetch("GET", path)
                times.append(seconds)
                if status != 200:
                    errors.append(f"{path}: {status}")
                number += 1

        def command(*arguments: str) -> None:
            try:
                print("  " + site.manage(*arguments, timeout=600).strip().splitlines()[0][:120], flush=True)
            except AssertionError as error:
                errors.append(str(error)[:300])

        print(f"SQLite, at once: an import of {messages:,} messages, an erasure, {READERS} readers", flush=True)
        threads = [threading.Thread(target=read, args=(reader, i)) for i, reader in enumerate(readers)]
        work = [
            threading.Thread(target=command, args=("import_conversations", str(export), "--subject", "ada@sample.example")),
            threading.Thread(target=command, args=("submit_request", "--subject", "ben@sample.example", "--kind", "erasure", "--approve", "--wait", "300")),
        ]  # fmt: skip
        for thread in threads + work:
            thread.start()
        for thread in work:
            thread.join()
        stop.set()
        for thread in threads:
            thread.join()
        locked = sum(site.log(name).count("database is locked") for name in ("web", "worker", "schedule"))
    print(f"  {len(times):,} pages, median {statistics.median(times):.2f} s, slowest {max(times):.2f} s")
    print(f"  errors {len(errors)} (aim 0), 'database is locked' in the logs {locked}")
    for error in errors[:5]:
        print(f"    {error}")
    if errors or locked:
        raise SystemExit(json.dumps({"errors": len(errors), "locked": locked}))


if __name__ == "__main__":
    main()
