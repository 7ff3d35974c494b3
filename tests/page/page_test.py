"""Drives the page in headless Chromium as a user would. Run by ctest; exit code 77 means that it was skipped, with the reason.

Usage: page_test.py SLORA_PROGRAM REPOSITORY
Needs Chromium (Debian: chromium) and the Python packages playwright and axe-playwright-python; see docs/page.md.
"""

import json
import re
import shutil
import subprocess
import sys
import unittest

from page_server import Server
from page_streams import HOLD_STREAMS, PAUSE_WITHIN_STREAM

SKIPPED = 77
PROGRAM, ROOT = (sys.argv[1:3] + ["", ""])[:2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def skip(reason):
    print(f"page_test is skipped: {reason}")
    sys.exit(SKIPPED)


if not CHROMIUM:
    skip("there is no Chromium (Debian: apt-get install chromium)")
try:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import expect, sync_playwright
except ImportError as missing:
    skip(f"{missing} (pip install playwright axe-playwright-python; choose the Python with -DSLORA_PAGE_PYTHON=...)")

VIEWS = ["chat", "adapters", "memory", "speed"]
SENTENCE = "The queen found a rusty key."
TIMEOUT_MS = 60_000


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.playwright = sync_playwright().start()
        cls.browser = cls.playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        cls.server = Server(PROGRAM, ROOT)
        expect.set_options(timeout=TIMEOUT_MS)

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.playwright.stop()
        cls.server.end()

    def open(self, server=None, view="chat", **context):
        """A page of its own; what it logs and whom it calls is kept."""
        self.url = (server or self.server).url
        self.logged, self.called = [], []
        self.context = self.browser.new_context(**context)
        self.addCleanup(self.context.close)
        page = self.context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda message: self.logged.append(message.text))
        page.on("pageerror", lambda error: self.logged.append(str(error)))
        page.on("request", lambda request: self.called.append(request.url))
        page.goto(f"{self.url}/#{view}")
        return page

    def opened(self, *arguments, **context):
        page = self.open(*arguments, **context)
        expect(page.locator("#status")).to_have_text("Connected")
        expect(page.locator(".column")).to_have_count(2)
        return page

    def show(self, page, view):
        page.get_by_role("navigation").get_by_role("link", name=view.capitalize()).click()
        expect(page.locator(f"#view-{view}")).to_be_visible()

    def ask(self, page, text):
        page.get_by_label("Prompt").fill(text)
        page.get_by_role("button", name="Send").click()

    def finish(self, page):
        expect(page.get_by_role("button", name="Send")).to_be_visible()

    @staticmethod
    def change_requests(page, **fields):
        """Adds fields to the bodies of chats on their way to the server."""
        def change(route):
            route.continue_(post_data=json.dumps({**route.request.post_data_json, **fields}))
        page.route("**/v1/chat/completions", change)

    def test_axe_finds_nothing_in_any_view_and_scheme(self):
        for scheme, width in [("light", 1280), ("dark", 1280), ("light", 320)]:
            page = self.opened(color_scheme=scheme, viewport={"width": width, "height": 800})
            self.ask(page, SENTENCE)
            self.finish(page)
            for view in VIEWS:
                self.show(page, view)
                if view == "memory":
                    page.get_by_role("button", name="Table of Pages by owner").click()
                self.check_by_axe(page, f"{view}, {scheme}, {width} px")
                overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                self.assertLessEqual(overflow, 0, f"{view} fits {width} px")
            self.show(page, "adapters")
            page.get_by_role("button", name="Load adapter").click()
            self.check_by_axe(page, f"load, {scheme}, {width} px")
            self.context.close()

    def check_by_axe(self, page, where):
        results = Axe().run(page)
        self.assertEqual(results.violations_count, 0, f"{where}: {results.generate_report()}")

    def test_logs_nothing_and_calls_nobody_else(self):
        page = self.opened()
        self.ask(page, SENTENCE)
        self.finish(page)
        for view in VIEWS:
            self.show(page, view)
            page.wait_for_function("count => performance.getEntriesByType('resource').length > count",
                                   arg=page.evaluate("performance.getEntriesByType('resource').length"))
        self.assertEqual(self.logged, [])
        self.assertGreater(len(self.called), 10)
        self.assertEqual([url for url in self.called if not url.startswith(self.url + "/")], [])

    def test_two_columns_stream_at_once(self):
        page = self.opened()
        self.change_requests(page, ignore_eos=True, temperature=1, max_tokens=400)
        page.evaluate(HOLD_STREAMS)
        self.ask(page, SENTENCE)
        # Each look lets one more event of each stream through: were there one stream after the other, no look would see two of them.
        page.wait_for_function("""least => {
          ++window.eventsAllowed;
          const streaming = [...document.querySelectorAll('.answer.streaming')];
          return streaming.filter((answer) => answer.textContent.length > least).length === 2;
        }""", arg=20)
        page.get_by_label("Prompt").press("Escape")  # stops all
        self.finish(page)
        for figures in page.locator(".figures").all():
            self.assertRegex(figures.inner_text(), r"^[\d.,]+ tokens/s · first after [\d.]+ m?s · \d+ tokens · stopped$")

    def test_each_column_asks_its_own_model(self):
        page = self.opened()
        page.get_by_label("Model of column 1").select_option("shout")
        page.get_by_label("Model of column 2").select_option("pirate")
        self.ask(page, SENTENCE)
        self.finish(page)
        answers = page.locator(".answer")
        expect(answers.nth(0)).to_have_text("THE QUEEN FOUND A RUSTY KEY!")
        expect(answers.nth(1)).to_contain_text("arr")
        page.get_by_role("button", name="Copy as curl").first.click()
        command = page.get_by_label("Command").input_value()
        page.keyboard.press("Escape")
        ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
        texts = [json.loads(line[6:])["choices"] for line in ran.stdout.splitlines() if line.startswith("data: {")]
        self.assertEqual("".join(c[0]["delta"].get("content") or "" for c in texts if c), "THE QUEEN FOUND A RUSTY KEY!")

    def test_columns_come_and_go_up_to_four(self):
        page = self.opened()
        add = page.get_by_role("button", name="Add column")
        add.click()
        add.click()
        expect(page.locator(".column")).to_have_count(4)
        expect(add).to_be_disabled()
        for _ in range(3):
            page.get_by_role("button", name="Remove column 1").click()
        expect(page.locator(".column")).to_have_count(1)
        expect(page.get_by_role("button", name="Remove column 1")).to_be_hidden()

    def test_shows_what_a_model_writes_as_text(self):
        page = self.opened()
        evil = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
        event = {"choices": [{"index": 0, "delta": {"content": evil}, "finish_reason": "stop"}]}
        page.route("**/v1/chat/completions", lambda route: route.fulfill(
            content_type="text/event-stream", body=f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"))
        self.ask(page, evil)
        self.finish(page)
        expect(page.locator(".answer").first).to_have_text(evil)
        expect(page.locator(".asked").first).to_have_text(evil)
        self.assertEqual(page.locator(".talk img, .talk script").count(), 0)
        self.assertNotEqual(page.title(), "taken")
        self.assertEqual(self.logged, [])

    def test_asks_for_a_key_and_keeps_it_in_its_memory(self):
        server = Server(PROGRAM, ROOT, "--api-key", "secret", "--admin-api-key", "root")
        self.addCleanup(server.end)
        page = self.open(server)
        expect(page.locator("#keys")).to_be_visible()
        expect(page.locator("#model-name")).to_have_text("")
        expect(page.locator(".column")).to_have_count(0)
        page.get_by_label("API key").fill("wrong")
        page.get_by_role("button", name="Use").click()
        expect(page.locator("#status")).to_have_text("Needs a key")
        page.get_by_role("button", name="Keys").click()
        page.get_by_label("API key").fill("secret")
        page.get_by_role("button", name="Use").click()
        expect(page.locator("#status")).to_have_text("Connected")
        self.ask(page, SENTENCE)
        self.finish(page)
        expect(page.locator(".answer").first).to_contain_text("queen")
        self.show(page, "adapters")
        page.get_by_role("button", name="Pin shout").click()
        expect(page.locator("#confirm-error")).to_contain_text("key")
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Keys").click()
        page.get_by_label("Operator's key").fill("root")
        page.get_by_role("button", name="Use").click()
        page.get_by_role("button", name="Pin shout").click()
        expect(page.get_by_role("button", name="Unpin shout")).to_be_visible()
        self.assertEqual(page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]"), [0, 0, ""])
        self.assertEqual([url for url in self.called if "secret" in url or "root" in url], [])
        page.reload()
        expect(page.locator("#keys")).to_be_visible()

    def test_keeps_keys_for_the_tab_where_the_user_wants_that(self):
        server = Server(PROGRAM, ROOT, "--api-key", "secret")
        self.addCleanup(server.end)
        page = self.open(server)
        page.get_by_label("API key").fill("secret")
        page.get_by_label("Keep them").check()
        page.get_by_role("button", name="Use").click()
        expect(page.locator("#status")).to_have_text("Connected")
        page.reload()
        expect(page.locator("#status")).to_have_text("Connected")

    def test_says_that_a_stream_ended_early(self):
        page = self.opened()
        self.change_requests(page, ignore_eos=True, max_tokens=400, timeout=0.05)
        self.ask(page, SENTENCE)
        self.finish(page)
        expect(page.locator(".column").first.get_by_role("alert")).to_contain_text("timeout")

    def test_says_that_the_server_is_gone_and_that_it_is_back(self):
        server = Server(PROGRAM, ROOT)
        page = self.opened(server)
        self.change_requests(page, ignore_eos=True, max_tokens=400)
        page.get_by_role("button", name="Remove column 2").click()
        page.evaluate(PAUSE_WITHIN_STREAM)  # so that it does not end before the server does
        self.ask(page, SENTENCE)
        page.wait_for_function("() => window.isPaused")
        server.end()
        expect(page.locator(".column").first.get_by_role("alert")).to_have_text("The connection ended before the answer did.")
        expect(page.locator("#status")).to_have_text("The server does not answer.")
        again = Server(PROGRAM, ROOT, port=server.port)
        self.addCleanup(again.end)
        expect(page.locator("#status")).to_have_text("Connected")

    def test_load_and_unload_move_the_map(self):
        page = self.opened(view="memory")
        pages = lambda: int(re.search(r"([\d,]+) holds? adapters", page.locator("#pool-words").inner_text())[1].replace(",", ""))
        before = pages()
        self.show(page, "adapters")
        page.get_by_role("button", name="Load adapter").click()
        page.get_by_label("Name", exact=True).fill("loud")
        page.get_by_label("Folder").fill("shout")
        page.get_by_label("Keep it in the pool").check()
        page.get_by_role("button", name="Load", exact=True).click()
        row = page.get_by_role("row", name="loud")
        expect(row).to_contain_text("in the pool")
        expect(row).to_contain_text("pinned")
        added = self.pages_of("loud")
        self.show(page, "memory")
        page.wait_for_function("want => document.querySelector('#pool-words').textContent.includes(want)", arg=f"{before + added} hold")
        self.assertIn("adapter loud", self.owners_on_map(page))
        self.show(page, "adapters")
        page.get_by_role("button", name="Unload loud").click()
        page.get_by_role("button", name="Unload", exact=True).click()
        expect(row).to_have_count(0)
        self.show(page, "memory")
        page.wait_for_function("want => document.querySelector('#pool-words').textContent.includes(want)", arg=f"{before} hold")
        self.assertNotIn("adapter loud", self.owners_on_map(page))

    def pages_of(self, name):
        return next(each["pages"] for each in self.server.state()["adapters"]["list"] if each["name"] == name)

    @staticmethod
    def owners_on_map(page):
        """What the map says of each square of its first rows, as the arrow keys move over it."""
        page.locator("#pool-map").focus()
        owners = set()
        for _ in range(60):
            page.keyboard.press("ArrowRight")
            owners.add(page.locator("#pool-cell").inner_text().split(": ")[-1])
        return owners

    def test_says_why_an_adapter_is_refused_and_a_load_failed(self):
        page = self.opened(view="adapters")
        expect(page.get_by_role("row", name="torn")).to_contain_text("PREFIX_TUNING")
        page.get_by_role("button", name="Load adapter").click()
        page.get_by_label("Name", exact=True).fill("new")
        page.get_by_label("Folder").fill("/etc")
        page.get_by_role("button", name="Load", exact=True).click()
        expect(page.locator("#load-error")).to_contain_text("lora_path")
        page.keyboard.press("Escape")
        page.get_by_label("Filter by name").fill("sho")
        expect(page.get_by_role("row", name="torn")).to_have_count(0)
        expect(page.get_by_role("row", name="shout")).to_have_count(1)

    def test_everything_is_reached_by_keyboard_and_shows_its_focus(self):
        page = self.opened()
        seen = self.tab_through(page, "Send")
        for name in ["Chat", "Adapters", "Memory", "Speed", "Keys", "Add column", "New conversation", "Model of column 1",
                     "Remove column 2", "Copy as curl", "Prompt", "Settings"]:
            self.assertIn(name, seen)
        page.get_by_label("Prompt").focus()
        page.keyboard.type(SENTENCE)
        page.keyboard.press("Enter")
        self.finish(page)
        expect(page.locator(".answer").first).to_contain_text("queen")
        page.get_by_role("link", name="Adapters").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#view-adapters")).to_be_visible()
        seen = self.tab_through(page, "Unload torn")
        self.assertLessEqual({"Load adapter", "Filter by name", "State", "Pin shout", "Replace shout", "Unload shout"}, seen)
        page.get_by_role("button", name="Load adapter").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_label("Name", exact=True)).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#load")).to_be_hidden()

    def tab_through(self, page, last):
        """The names of what Tab reaches from the start of the page to `last`."""
        page.evaluate("document.activeElement.blur()")
        seen = set()
        for _ in range(80):
            page.keyboard.press("Tab")
            name, outline = page.evaluate("""() => {
              const element = document.activeElement;
              const name = element.getAttribute("aria-label") ?? element.labels?.[0]?.firstChild.textContent.trim() ?? element.textContent.trim();
              const framed = element.id === "prompt" ? document.getElementById("composer") : element;
              return [name, getComputedStyle(framed).outlineStyle];
            }""")
            if name:
                self.assertNotEqual(outline, "none", f"{name} shows its focus")
            seen.add(name)
            if name == last:
                return seen
        self.fail(f"Tab does not reach {last}: {seen}")

    def test_announces_sentences_and_not_tokens(self):
        page = self.opened()
        page.evaluate("""() => {
          window.said = [];
          new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach((node) => said.push(node.textContent))))
            .observe(document.getElementById("live"), {childList: true});
        }""")
        page.get_by_role("button", name="Remove column 2").click()
        self.ask(page, SENTENCE)
        self.finish(page)
        page.wait_for_function("() => said.length > 0")
        said = page.evaluate("said")
        self.assertLessEqual(len(said), 2)
        self.assertIn("queen", " ".join(said))

    def test_rests_while_it_is_hidden(self):
        page = self.opened()
        page.evaluate("""() => {
          Object.defineProperty(document, "visibilityState", {value: "hidden", configurable: true});
        }""")
        page.wait_for_timeout(1500)  # the look that was planned finds it hidden
        count = len(self.called)
        page.wait_for_timeout(2500)
        self.assertEqual(len(self.called), count)
        page.evaluate("""() => {
          Object.defineProperty(document, "visibilityState", {value: "visible", configurable: true});
          document.dispatchEvent(new Event("visibilitychange"));
        }""")
        with page.expect_request("**/slora/state*"):
            pass


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
