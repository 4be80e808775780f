"""What a user of the panel waits for, in a real JupyterLab and a real browser."""

import os
import re
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from rexec_jupyter import connect
from tests.bench.harness import check
from tests.bench.processes import private_backend
from tests.bench.remote import same
from tests.bench.results import Row
from tests.browser.conftest import CHROMIUM_ARGS
from tests.browser.lab import running_lab
from tests.browser.notebook import open_lab

STATIC = Path(__file__).parents[2] / "build/labextension/static"
JOBS = 500
_MAP = re.compile(r'\{version:3,sources:\[.*?sourceRoot:""\}', re.DOTALL)
# From the click to the frame after the one in which a job's row is there.
OPENED = """async () => {
    const began = performance.now();
    window.jupyterapp.shell.activateById('rexec-panel');
    const frame = () => new Promise(requestAnimationFrame);
    while (!document.querySelector('#rexec-panel [data-section=jobs] li')) { await frame(); }
    await frame();
    return (performance.now() - began) / 1000;
}"""
SCROLLED = """async () => {
    const rows = document.querySelector('#rexec-panel [data-section=jobs] li');
    let list = rows;
    while (list.scrollHeight <= list.clientHeight + 1) { list = list.parentElement; }
    let longest = 0;
    let last = performance.now();
    for (let step = 0; step < 200; step += 1) {
        list.scrollTop += step < 100 ? 60 : -60;
        await new Promise(requestAnimationFrame);
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
    }
    return longest / 1000;
}"""


def panel(bench):
    """Open the panel with 500 jobs, and scroll in them."""
    repeats = 1 if bench.quick else 5
    executable = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with (
        private_backend(),
        connect("local") as client,
        tempfile.TemporaryDirectory() as directory,
        running_lab(Path(directory)) as lab,
        sync_playwright() as playwright,
    ):
        jobs = [client.submit(same, number) for number in range(JOBS)]
        check([job.result() for job in jobs] == list(range(JOBS)), "jobs came back wrong")
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGS)
        opened, scrolled = [], []
        for _ in range(repeats):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            page = context.new_page()
            open_lab(page, lab)
            opened.append(page.evaluate(OPENED))
            scrolled.append(page.evaluate(SCROLLED))
            context.close()
        browser.close()
    first, frame = statistics.median(opened), statistics.median(scrolled)
    yield Row(name="panel opened", note=f"{JOBS} jobs", ours=first, unit="s", limit=0.3)
    yield Row(name="longest frame while scrolling", ours=frame, unit="s", limit=0.05)
    yield Row(name="panel's code", ours=code_size() / 1000, unit="kB", limit=150)


def code_size():
    """Return the bytes of the built panel, without the source maps that its styles have inside."""
    texts = [file.read_text() for file in STATIC.glob("*.js")]
    return sum(len(_MAP.sub("", text).encode()) for text in texts)
