"""The page in a real browser: no error, no request, the slider moves everything, and what it shows is the tables'."""

import json
import re
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from command_line import neomflex

from neomflex_jax.commands.report import ReportCommand
from neomflex_jax.commands.run_page import RunPage
from neomflex_jax.resources import packaged_profiles

pytestmark = [pytest.mark.slow, pytest.mark.browser]
sync_api = pytest.importorskip("playwright.sync_api", reason="needs a browser: pip install 'neomflex-jax[browser]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
if CHROMIUM is None:
    pytest.skip("needs Chromium on the PATH (Debian: apt-get install chromium)", allow_module_level=True)
EVIL = "<script>document.title='hit'</script>\"><img src=x onerror=\"document.title='hit'\">"


@pytest.fixture(scope="module")
def work(trained_run, tmp_path_factory):
    """A training with an evaluation of all 84 days and a validation of two of them."""
    folder = tmp_path_factory.mktemp("browser")
    shutil.copytree(trained_run, folder / "run")
    pd.read_csv(packaged_profiles("testing")).head(96).to_csv(folder / "days.csv", index=False)
    common = ["--policies", folder / "run", "--power-flow", "ac"]
    assert neomflex("evaluate", *common, "--baseline", "--output", folder / "run" / "evaluation") == 0
    assert neomflex("report", folder / "run") == 0
    return folder


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser):
    """Open a page's file at a width; at the end of the test nothing was said or asked for beside the file."""
    said, pages = [], []

    def open_page(path, width=1400, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("request", lambda request: said.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        page.wait_for_selector("[data-map] svg")
        pages.append(context)
        return page

    yield open_page
    for context in pages:
        context.close()
    assert said == []


def figure(page, name, run):
    return page.locator(f"[data-figure={name}][data-run='{run}']").inner_text()


def move_to(page, day, step):
    """Pick a day and put the slider on a step."""
    page.locator("[data-part=day]").select_option(str(day))
    page.locator("[data-part=time]").fill(str(step))


def test_all_84_days_fit_a_page_of_less_than_6_mb(work, opened):
    path = work / "run" / "report.html"
    assert path.stat().st_size < 6_000_000
    assert opened(path).locator("[data-part=day] option").count() == 84


def test_what_is_shown_is_what_the_table_says(work, opened):
    page = opened(work / "run" / "report.html")
    steps = pd.read_csv(work / "run" / "evaluation" / "step_metrics.csv").set_index(["run", "day", "step"])
    for day, step in ((0, 0), (8, 37), (83, 47)):
        move_to(page, day, step)
        for run, name in enumerate(("controlled", "baseline")):
            row = steps.loc[(name, day, step)]
            low = min((row[column], column) for column in row.index if re.fullmatch(r"voltage_bus_\d+_pu", column))
            assert figure(page, "low", run) == f"{row['voltage_min_pu']:.4f} at bus {low[1].split('_')[2]}"
            assert figure(page, "outside", run) == str(int(row["buses_outside_band"]))
            decimals = len(figure(page, "loss", run).split(".")[1])
            assert figure(page, "loss", run) == f"{row['losses_mw']:.{decimals}f}" and decimals >= 3
            title = page.locator(f"[data-map='{run}'] .bus title").nth(17)
            assert title.text_content() == f"bus 17: {row['voltage_bus_17_pu']:.4f} pu"
        legend = page.locator("[data-part=devices] li", has_text="battery_23").first.inner_text().split()[-1]
        power = float(legend.replace("\u2212", "-"))
        assert abs(power - steps.loc[("controlled", day, step), "battery_power_bus_23_mw"]) <= 0.5e-3


def test_the_slider_moves_map_charts_and_figures_together(work, opened):
    page = opened(work / "run" / "report.html")
    script = """() => ({
      buses: [...document.querySelectorAll('[data-map="0"] .bus')].map((one) => one.getAttribute('fill')).join(),
      arrows: [...document.querySelectorAll('[data-map="0"] .arrow')].map((one) => one.getAttribute('d')).join(),
      charge: [...document.querySelectorAll('[data-map="0"] .charge')].map((one) => one.getAttribute('height')).join(),
      cursors: [...document.querySelectorAll('.charts .cursor')].map((one) => one.getAttribute('x1')),
      readout: document.querySelector('.readout').textContent,
      now: document.querySelector('[data-part="now"]').textContent})"""
    move_to(page, 0, 5)
    before = page.evaluate(script)
    page.locator("[data-part=time]").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    after = page.evaluate(script)
    assert page.locator("[data-part=time]").input_value() == "25" and "12:30 to 13:00" in after["now"]
    assert all(before[name] != after[name] for name in before)
    moved = [one != other for one, other in zip(before["cursors"], after["cursors"], strict=True)]
    assert sum(moved) >= 7 and page.locator("[data-part=time]").get_attribute("aria-valuetext") == after["now"]
    page.locator("[data-part=after]").click()
    assert page.evaluate(script)["buses"] != after["buses"]
    page.locator("[data-part=voltage] svg").first.click(position={"x": 60, "y": 60})
    assert page.evaluate(script)["now"] == "day 1, 00:00 to 00:30"


def test_tabs_worst_days_a_bus_and_the_theme_answer(work, opened):
    page = opened(work / "run" / "report.html")
    page.locator("[role=tab]").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".agent.shown h3").inner_text() == "agent_2"
    worst = page.locator("button[data-day]").nth(1)
    worst.click()
    assert f"day {worst.get_attribute('data-day')}," in page.locator("[data-part=now]").inner_text()
    page.locator("[data-map='0'] .bus").nth(31).click()
    assert "policy, bus 31" in page.locator("[data-part=voltage] .legend").inner_text()
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.locator("#theme").click()
    assert page.evaluate(ground) != light
    page.locator("[data-part=play]").focus()
    page.keyboard.press("Tab")
    outline = page.evaluate("""() => document.activeElement.dataset.part === 'time'
      && getComputedStyle(document.activeElement).outlineStyle""")
    assert outline == "solid"


@pytest.mark.parametrize("width", [400, 700, 1400])
def test_nothing_is_wider_than_the_screen(work, opened, width):
    page = opened(work / "run" / "report.html", width, "dark")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    move_to(page, 3, 40)
    wide = page.evaluate("""() => [...document.querySelectorAll('svg')]
      .filter((one) => one.getBoundingClientRect().right > innerWidth + 1).length""")
    assert wide == 0


def test_names_of_any_letters_stay_names(work, opened, tmp_path):
    page = ReportCommand(work / "run").page()
    seed = page.seeds[0]
    play = json.loads(json.dumps(seed.played))
    play["agents"] = [EVIL + agent for agent in play["agents"]]
    play["grid"]["name"] = play["grid"]["note"] = EVIL
    play["grid"]["labels"] = [EVIL + label for label in play["grid"]["labels"]]
    for each in (*play["devices"], *play["runs"]):
        each["label"] = each["noun"] = each["said"] = EVIL
    for run in play["runs"]:
        run["named"] = [EVIL for _ in run["named"]]
    costs = {**seed.day_costs, "runs": [{**run, "name": EVIL} for run in seed.day_costs["runs"]]}
    path = tmp_path / "evil.html"
    path.write_text(RunPage(EVIL, (replace(seed, played=play, day_costs=costs),)).html(), encoding="utf-8")
    shown = opened(path)
    move_to(shown, 1, 30)
    assert shown.locator("img, iframe").count() == 0 and shown.title() == f"neomflex: {EVIL}"
    assert EVIL in figure(shown, "low", 0) and EVIL in shown.locator("[data-part=devices]").inner_text()


def test_seeds_are_picked(work, opened, tmp_path):
    seed = ReportCommand(work / "run").page().seeds[0]
    path = tmp_path / "seeds.html"
    both = (replace(seed, label="seed 0"), replace(seed, label="seed 1", about="the second"))
    path.write_text(RunPage("several", both).html(), encoding="utf-8")
    page = opened(path)
    assert page.locator("section.seed:visible").get_attribute("id") == "s0"
    page.locator("#seed").select_option("1")
    assert page.locator("section.seed:visible").get_attribute("id") == "s1"
    assert page.locator("section.seed:visible [data-map] svg").count() == 2
    page.locator("button[data-seed='0']").click()
    assert page.locator("#seed").input_value() == "0"


def test_a_print_holds_the_words_and_no_controls(work, opened):
    page = opened(work / "run" / "report.html", 800)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("button:visible").count() == 0 and page.locator("input:visible").count() == 0
    assert page.locator("p.status:visible").count() == 2 and page.locator("[data-map] svg:visible").count() == 2
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
