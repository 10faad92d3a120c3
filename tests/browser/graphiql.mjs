// Opens GraphiQL with no network but the server, runs a query in it, and tells what came.
// Usage: node graphiql.mjs CHROMIUM URL; prints one line of JSON.
import { chromium } from "playwright-core";

const [executablePath, url] = process.argv.slice(2);
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: flags });
try {
  const page = await browser.newPage();
  const problems = [];
  const foreign = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  await page.route("**/*", (route) => {
    if (route.request().url().startsWith(url) || route.request().url().startsWith("data:")) return route.continue();
    foreign.push(route.request().url());
    return route.abort();
  });
  await page.goto(`${url}/graphql`);
  await page.waitForSelector(".graphiql-container", { timeout: 60_000 });
  await page.click(".graphiql-execute-button");
  await page.waitForFunction(() => document.querySelector(".result-window")?.innerText.includes("listExecutions"), null, { timeout: 60_000 });
  console.log(JSON.stringify({ shown: true, problems, foreign }));
} finally {
  await browser.close();
}
