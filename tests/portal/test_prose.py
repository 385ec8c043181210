"""The Markdown of messages becomes a few tags and nothing else, in time that grows with the text and no faster."""

from __future__ import annotations

import re
import time

import pytest

from apps.portal.prose import plain, render


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("one\ntwo\n\nthree", "<p>one<br>two</p>\n<p>three</p>"),
        ("a **b** c", "<p>a <strong>b</strong> c</p>"),
        ("2 ** 3 ** 4", "<p>2 ** 3 ** 4</p>"),
        ("`a < b` and ``a ` b``", "<p><code>a &lt; b</code> and <code>a ` b</code></p>"),
        ("`open", "<p>`open</p>"),
        ("- a\n- b\n  goes on", "<ul><li>a</li><li>b goes on</li></ul>"),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("> a\n> b", '<p class="quote">a<br>b</p>'),
        ("## Title ##", "<p><strong>Title</strong></p>"),
        (
            "```py\nif a < b:\n    pass\n```\nend",
            '<pre tabindex="0"><code>if a &lt; b:\n    pass</code></pre>\n<p>end</p>',
        ),
        ("```\nnever closed", '<pre tabindex="0"><code>never closed</code></pre>'),
        ("~~~\na\n~~~", '<pre tabindex="0"><code>a</code></pre>'),
        ("", ""),
    ],
)
def test_markdown_as_assistants_write_it(text: str, html: str) -> None:
    assert render(text) == html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "**<img src=x onerror=alert(1)>**",
        "`<b>`",
        "- <b>\n1. <i>\n> <u>",
        "# <h1>",
        "```<x>\n</code></pre><script>\n```",
        "[link](javascript:alert(1)) ![x](https://evil.example/x.png)",
        '"><svg onload=alert(1)>',
    ],
)
def test_no_tag_or_attribute_of_the_text_survives(text: str) -> None:
    allowed = r'</?(?:p|br|ul|li|strong|code)>|<ol start="\d+">|</ol>|<pre tabindex="0">|</pre>|<p class="quote">'
    for html in (render(text), plain(text)):
        assert "<" not in re.sub(allowed, "", html)


@pytest.mark.parametrize(
    "text",
    ["**" * 40_000 + "`" * 40_001, "a **b " * 20_000, "`a" * 20_000, "# " + " " * 80_000 + "x", "- a\n  b" * 20_000,
     "".join("`" * length + "a" for length in range(400)), "> " * 40_000, "1. " * 40_000],
)  # fmt: skip
def test_hostile_text_takes_no_longer_than_its_length(text: str) -> None:
    began = time.perf_counter()
    render(text)
    assert time.perf_counter() - began < 2
