"""Make docs/images/journey.png from a running demo: `make run`, then .venv/bin/python docs/images/journey.py [URL]."""

import shutil
import sys
from base64 import b64encode
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

WIDTH, HEIGHT = 390, 700
STEPS = ("Click once", "Watch the progress", "Get one message", "Download privately")


def pictures(browser: Browser, url: str) -> list[bytes]:
    """Return a screenshot of each step."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=1.5, bypass_csp=True)
    page = context.new_page()
    sign_in(page, url)
    shots = [page.screenshot()]
    page.locator(".choice-name", has_text="XLSX").click()
    page.get_by_role("button", name="Export my data").click()
    page.wait_for_url("**/exports/*-*/")
    page.wait_for_function("document.querySelector('progress')?.value > 0.25 * document.querySelector('progress')?.max")
    shots.append(page.screenshot())
    page.get_by_role("link", name="Download").first.wait_for(timeout=120_000)
    page.reload()
    ready = page.screenshot()
    page.locator("#bell summary").click()
    shots += [page.screenshot(), ready]
    return shots


def sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/accounts/login/")
    page.get_by_label("E-mail").fill("enterprise@example.com")
    page.get_by_label("Password").fill("demo")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/exports/")


def compose(browser: Browser, shots: list[bytes]) -> bytes:
    figures = "".join(
        f"<figure><figcaption>{step}</figcaption><img src='data:image/png;base64,{b64encode(shot).decode()}'></figure>"
        for step, shot in zip(STEPS, shots, strict=True)
    )
    style = (
        "body{margin:0;padding:24px;display:flex;gap:24px;background:#fff;font:600 20px 'Noto Sans'}"
        "figure{margin:0;width:300px}figcaption{margin:0 0 12px;color:#0f5c56}"
        "img{width:100%;border:1px solid #d5dbdb;border-radius:16px;box-shadow:0 4px 18px #0002}"
    )
    page = browser.new_page(viewport={"width": 1320, "height": 640})
    page.set_content(f"<style>{style}</style>{figures}")
    return page.screenshot(full_page=True)


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        target = Path(__file__).with_name("journey.png")
        target.write_bytes(compose(browser, pictures(browser, url)))
        browser.close()


if __name__ == "__main__":
    main()
