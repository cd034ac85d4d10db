"""A headless browser with the few gestures that the tests make."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--autoplay-policy=no-user-gesture-required", "--window-size=1280,900"),
)
SECONDS = 20


def find_browser() -> tuple[str, str] | None:
    """The browser and its driver, if this machine has both."""
    browser = next((path for path in map(shutil.which, BROWSERS) if path), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


def start(profile: Path) -> Browser:
    """A new browser with an empty profile."""
    found = find_browser()
    assert found is not None
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Browser(webdriver.Chrome(options=options, service=Service(found[1])))


class Browser:
    """Elements are named by CSS selectors; a missing one fails after ``SECONDS``."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def quit(self) -> None:
        self._driver.quit()

    def open(self, site: Path, url: str) -> None:
        """A page of a site, from its files."""
        self._driver.get("about:blank")
        self._driver.get((site / url).resolve().as_uri())

    def open_again(self) -> None:
        self._driver.refresh()

    @property
    def title(self) -> str:
        return self._driver.title

    def complaints(self) -> list[str]:
        """What the console says since it was asked last."""
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of a script."""
        return self._driver.execute_script(script, *arguments)

    def run_async(self, script: str, *arguments: Any) -> Any:
        """What a script gives to its last argument, a function."""
        self._driver.set_script_timeout(SECONDS)
        return self._driver.execute_async_script(script, *arguments)

    def one(self, selector: str) -> Any:
        self.wait_for(selector)
        return self._driver.find_element(By.CSS_SELECTOR, selector)

    def count(self, selector: str) -> int:
        return len(self._driver.find_elements(By.CSS_SELECTOR, selector))

    def texts(self, selector: str) -> list[str]:
        return list(
            self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText.trim())", selector)
        )

    def text(self, selector: str) -> str:
        """Of the first one."""
        self.wait_for(selector)
        return self.texts(selector)[0]

    def attribute(self, selector: str, name: str) -> str | None:
        value: str | None = self.one(selector).get_attribute(name)
        return value

    def wait_for(self, selector: str) -> None:
        WebDriverWait(self._driver, SECONDS).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, selector))

    def wait_for_text(self, selector: str, text: str) -> None:
        WebDriverWait(self._driver, SECONDS).until(lambda _: any(text in found for found in self.texts(selector)))

    def click(self, selector: str) -> None:
        element = self.one(selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def type(self, selector: str, text: str) -> None:
        self.one(selector).send_keys(text)

    def clear(self, selector: str) -> None:
        self.one(selector).send_keys(Keys.CONTROL, "a", Keys.BACKSPACE)

    def focus(self, selector: str) -> None:
        self.run("arguments[0].focus()", self.one(selector))

    def press(self, selector: str, key: str) -> None:
        self.focus(selector)
        self.press_key(key)

    def press_key(self, key: str) -> None:
        """For example ``ArrowDown``, at whatever has the focus."""
        names = {"ArrowDown": Keys.ARROW_DOWN, "ArrowRight": Keys.ARROW_RIGHT}
        ActionChains(self._driver).send_keys(names.get(key, getattr(Keys, key.upper(), key))).perform()

    def scroll_to(self, selector: str) -> None:
        self.run("arguments[0].scrollIntoView({block: 'center'})", self.one(selector))

    def play(self, selector: str) -> float:
        """Play a video to its end or for a moment; returns the time that it reached, in seconds."""
        return float(
            self.run_async(
                """
                const [video, done] = arguments;
                video.muted = true;
                video.onended = () => done(video.currentTime);
                video.ontimeupdate = () => { if (video.currentTime > 0.15) done(video.currentTime); };
                video.onerror = () => done(-1);
                video.play().catch(() => done(-2));
                """,
                self.one(selector),
            )
        )

    def prefer(self, scheme: str) -> None:
        """What the system prefers: ``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def background(self) -> tuple[int, ...]:
        """Red, green and blue of the page's ground."""
        text = self.run("return getComputedStyle(document.body).backgroundColor")
        return tuple(int(part) for part in text[text.index("(") + 1 : -1].split(",")[:3])

    def focused_text(self) -> str:
        return str(self.run("return document.activeElement.textContent.trim().replace(/\\s+/g, ' ')"))

    def focus_left(self) -> bool:
        """Whether no element of the page has the focus."""
        return bool(self.run("return document.activeElement === document.body"))

    def focus_is_visible(self) -> bool:
        """Whether the focused element has an outline and lies in the window."""
        return bool(
            self.run(
                """
                const element = document.activeElement, box = element.getBoundingClientRect();
                const style = getComputedStyle(element);
                const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
                return outlined && box.bottom > 0 && box.top < innerHeight && box.width > 0;
                """
            )
        )

    @contextmanager
    def screen(self, width: int, height: int) -> Iterator[None]:
        """As on a device of that size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        yield
        self._driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def overflow(self) -> int:
        """Pixels that the page is wider than the window."""
        return int(self.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def smallest_text(self) -> float:
        """Size in pixels of the smallest text of the page that is not in a chart."""
        return float(
            self.run(
                """
                const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
                let least = 100;
                while (texts.nextNode()) {
                  const parent = texts.currentNode.parentElement;
                  if (!texts.currentNode.data.trim() || parent.closest("svg, noscript")) continue;
                  least = Math.min(least, parseFloat(getComputedStyle(parent).fontSize));
                }
                return least;
                """
            )
        )
