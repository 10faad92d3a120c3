// Opens an EventSource on a run that has ended, exactly as a page would, and counts what it asks for.
// Usage: node late.mjs CHROMIUM URL EXECUTION; prints one line of JSON.
import { chromium } from "playwright-core";

const [executablePath, url, execution] = process.argv.slice(2);
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: flags });
try {
  const page = await browser.newPage();
  const answers = [];
  page.on("response", (response) => {
    if (response.url().includes("/sse/")) answers.push(response.status());
  });
  await page.goto(`${url}/health/live`);
  const seen = await page.evaluate(
    (path) =>
      new Promise((resolve) => {
        const types = [];
        const seqs = [];
        const source = new EventSource(path);
        source.onmessage = (event) => {
          const data = JSON.parse(event.data);
          types.push(data.type);
          if (data.seq) seqs.push(data.seq);
        };
        // The browser gives up for good only when it is told 204.
        source.onerror = () => {
          if (source.readyState === EventSource.CLOSED) resolve({ types, seqs });
        };
      }),
    `/sse/executions/${execution}`,
  );
  console.log(JSON.stringify({ answers, ...seen }));
} finally {
  await browser.close();
}
