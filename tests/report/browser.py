"""A real headless Chromium, and axe-core from the package that ships it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

_AXE, _AXE_SHA256 = "axe-core@4.10.3", "880970c081707360e64f34cea25ff91892f5bc95675b0776925b9709dd8a68bb"


def open_browser(*, width: int = 1280, dark: bool = False) -> Any | str:
    """Return a driver of Chromium, or why there is none here."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        return "chromium and chromedriver are not installed (Debian: apt install chromium chromium-driver)"
    try:
        from selenium import webdriver
    except ImportError:
        return "selenium is not installed"
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    scheme = "2" if not dark else "0"
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},1600",
        "--disable-dev-shm-usage", f"--blink-settings=preferredColorScheme={scheme[:1]}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def axe() -> str:
    """Return the source of axe-core, or "" when npm cannot fetch it; it is fetched once."""
    kept = user_cache_path("chat-template-conformance", appauthor=False) / "test" / f"{_AXE_SHA256}.js"
    if not kept.is_file():
        if (npm := shutil.which("npm")) is None:
            return ""
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([npm, "pack", "--silent", _AXE], cwd=folder, capture_output=True, check=False)
            tarballs = list(Path(folder).glob("*.tgz"))
            if not tarballs:
                return ""
            with tarfile.open(tarballs[0]) as archive:
                member = archive.extractfile("package/axe.min.js")
                assert member is not None
                data = member.read()
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(data)
    data = kept.read_bytes()
    assert hashlib.sha256(data).hexdigest() == _AXE_SHA256
    return data.decode()
