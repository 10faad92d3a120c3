// Follows a run with the real graphql-ws client, cuts the connection after a few events, and goes on with `after`.
// Usage: node graphql.mjs URL EXECUTION CUT; prints one line of JSON: the items of both connections, and how the last one ended.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, execution, cut] = process.argv.slice(2);
const query = `subscription ($id: String!, $after: String) {
  executionUpdates(execution_id: $id, after: $after) { type execution_id node_id status timestamp cursor seq event }
}`;

function follow(after, limit) {
  return new Promise((resolve) => {
    const client = createClient({ url: url.replace("http", "ws") + "/graphql", webSocketImpl: WebSocket, retryAttempts: 0, lazy: true });
    const items = [];
    const done = (end) => {
      resolve({ items, end });
      client.dispose();
    };
    client.subscribe(
      { query, variables: { id: execution, after } },
      {
        next: (result) => {
          if (result.errors) return done({ errors: result.errors });
          if (items.length === limit) return;
          items.push(result.data.executionUpdates);
          if (items.length === limit) {
            client.terminate();
            done("cut");
          }
        },
        complete: () => done("complete"),
        error: (error) => done({ error: String(error?.message ?? error?.reason ?? JSON.stringify(error)) }),
      },
    );
  });
}

const first = await follow(null, Number(cut));
const second = await follow(first.items.at(-1)?.cursor ?? null, Infinity);
console.log(JSON.stringify({ first, second }));
process.exit(0);
