"use strict";

// Queries and mutations over HTTP, subscriptions over a WebSocket, both at the place that this page came from.
const place = new URL("/graphql", location.href);
const socket = new URL(place);
socket.protocol = place.protocol === "https:" ? "wss:" : "ws:";

const fetcher = GraphiQL.createFetcher({
  url: place.href,
  wsClient: graphqlWs.createClient({ url: socket.href, lazy: true }),
});

const defaultQuery = `# Runs, newest first. Follow one with
#   subscription { executionUpdates(execution_id: "…") { type node_id status event } }
{
  listExecutions(limit: 10) {
    id
    status
    started_at
  }
}
`;

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, { fetcher, defaultQuery, defaultEditorToolsVisibility: true }),
);
