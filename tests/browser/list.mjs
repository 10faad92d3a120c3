// Opens the list of runs: says which it shows, and after a line on stdin again when it shows others.
// Usage: node list.mjs CHROMIUM URL; prints a line of JSON per observation.
import { once } from "node:events";
import { chromium } from "playwright-core";

const [executablePath, url] = process.argv.slice(2);
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: flags });
try {
  const page = await browser.newPage();
  await page.goto(`${url}/`);
  await page.waitForSelector("[data-execution]", { timeout: 60_000 });
  const shown = () => page.locator("[data-execution]").evaluateAll((rows) => rows.map((row) => row.dataset.execution));
  const [first] = await shown();
  console.log(JSON.stringify(await shown()));
  await once(process.stdin, "data");
  await page.waitForSelector(`[data-execution]:not([data-execution="${first}"])`, { timeout: 60_000 });
  await page.waitForSelector(`[data-execution="${first}"]`, { state: "detached", timeout: 20_000 });
  console.log(JSON.stringify(await shown()));
} finally {
  await browser.close();
  process.stdin.destroy();
}
