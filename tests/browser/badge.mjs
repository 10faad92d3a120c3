// Follows a run on the page: waits for a node's badge to read RUNNING, says so, and after a line on stdin for COMPLETED.
// Usage: node badge.mjs CHROMIUM URL EXECUTION NODE [SCREENSHOT]; prints a line of JSON per observation.
import { once } from "node:events";
import { chromium } from "playwright-core";

const [executablePath, url, execution, node, screenshot] = process.argv.slice(2);
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: flags });
try {
  const page = await browser.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  const foreign = [];
  page.on("request", (request) => request.url().startsWith(url) || foreign.push(request.url()));
  await page.goto(`${url}/executions/${execution}`);
  for (const status of ["RUNNING", "COMPLETED"]) {
    await page.waitForSelector(`[data-node="${node}"][data-status="${status}"]`, { timeout: 60_000 });
    const text = await page.locator(`[data-node="${node}"]`).innerText();
    const run = await page.locator("#run-status").innerText();
    console.log(JSON.stringify({ status, text, run }));
    if (status === "RUNNING") await once(process.stdin, "data");
  }
  await page.waitForSelector('#lamp[data-state="ended"]', { timeout: 60_000 });
  if (screenshot) await page.screenshot({ path: screenshot });
  console.log(JSON.stringify({ stream: "ended", problems, foreign }));
} finally {
  await browser.close();
  process.stdin.destroy();
}
