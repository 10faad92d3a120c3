'use strict';

// Lists runs, or follows one. Everything that comes from a run reaches the document as text, never as markup.

const MAX_LOG_LINES = 2000;
const MAX_RESULT = 400;
const MAX_RESULT_LINES = 5;
const TERMINAL = ['COMPLETED', 'FAILED', 'ABORTED'];

const $ = (id) => document.getElementById(id);

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function lamp(state, text) {
  $('lamp').dataset.state = state;
  $('lamp').textContent = text || state;
}

function setBadge(badge, status) {
  badge.dataset.status = status;
  badge.textContent = status;
}

function took(from, to) {
  if (!from || !to) return '';
  const ms = Math.max(0, Date.parse(to) - Date.parse(from));
  if (ms < 1000) return `${ms} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h ? `${h} h ${m} min` : `${m} min ${s} s`;
}

function clock(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? '' : date.toLocaleTimeString();
}

// The lamp tells what EventSource is doing: it comes back by itself until the server answers 204 or refuses.
function watchConnection(es, refused) {
  es.onopen = () => lamp('live');
  es.onerror = () => {
    if (es.readyState === EventSource.CLOSED) refused();
    else lamp('reconnecting');
  };
}

// ---- one run ----

function followRun(id) {
  $('run').hidden = false;
  $('run-id').textContent = id;
  document.title = `${id} · DiPeO`;

  const rows = new Map();
  let run, logCount, ended;

  function reset() {
    run = { started: null, name: null };
    logCount = 0;
    ended = false;
    rows.clear();
    $('nodes').replaceChildren();
    $('log').replaceChildren();
    $('log-cut').hidden = true;
    $('no-log').hidden = false;
    $('run-error').hidden = true;
    $('run-reason').hidden = true;
    setBadge($('run-status'), 'PENDING');
  }
  reset();

  function note(text) {
    $('notes').append(element('li', text));
  }

  function row(nodeId) {
    let entry = rows.get(nodeId);
    if (!entry) {
      const tr = element('tr');
      tr.dataset.node = nodeId;
      tr.dataset.status = 'PENDING';
      const badge = element('span', 'PENDING', 'badge');
      const cells = {
        label: element('td', nodeId), type: element('td', '', 'type'), status: element('td'),
        iteration: element('td', '', 'number'), time: element('td', '', 'number'), result: element('td', '', 'result'),
      };
      cells.status.append(badge);
      tr.append(...Object.values(cells));
      $('nodes').append(tr);
      entry = { tr, badge, cells, label: nodeId, started: null };
      rows.set(nodeId, entry);
    }
    return entry;
  }

  // Links and text of what a node left behind.
  function showResult(cell, node) {
    cell.className = 'result';
    if (node.error) {
      cell.className = 'result error';
      cell.textContent = shorten(node.error);
    } else if (node.output_ref) {
      const link = element('a', 'whole output');
      // A path of this server and nothing else.
      if (String(node.output_ref).startsWith('/api/v1/executions/')) link.href = node.output_ref;
      cell.replaceChildren(shorten(node.output_preview || ''), ' ', link);
    } else if (node.output !== undefined && node.output !== null) {
      cell.textContent = shorten(typeof node.output === 'string' ? node.output : JSON.stringify(node.output));
    } else {
      cell.textContent = node.reason || '';
    }
  }

  function shorten(text) {
    const short = text.slice(0, MAX_RESULT).split('\n').slice(0, MAX_RESULT_LINES).join('\n');
    return short.length < text.length ? `${short} …` : text;
  }

  function nodeChanged(node, time) {
    const entry = row(node.node_id);
    entry.tr.dataset.status = node.status;
    setBadge(entry.badge, node.status);
    if (node.label) {
      entry.label = node.label;
      entry.cells.label.textContent = node.label;
    }
    if (node.node_type) entry.cells.type.textContent = node.node_type;
    if (node.iteration) entry.cells.iteration.textContent = node.iteration;
    if (node.status === 'RUNNING') {
      entry.started = time;
      entry.cells.time.textContent = '';
      entry.cells.result.textContent = '';
    } else {
      entry.cells.time.textContent = took(node.started_at || entry.started, node.ended_at || time);
      showResult(entry.cells.result, node);
    }
  }

  function runChanged(data, time) {
    setBadge($('run-status'), data.status);
    if (data.diagram_name) {
      $('run-name').textContent = data.diagram_name;
      document.title = `${data.diagram_name} · DiPeO`;
    }
    if (data.status === 'RUNNING') run.started = run.started || time;
    ended = TERMINAL.includes(data.status);
    $('abort').hidden = ended;
    if (ended) $('run-time').textContent = took(run.started, time);
    $('run-reason').hidden = !data.reason;
    $('run-reason').textContent = data.reason || '';
  }

  // Lines come in bursts; the document is touched once per burst.
  let waiting = [];
  function logLine(data, time) {
    if (waiting.length === 0) setTimeout(flushLog, 50);
    waiting.push([data, time]);
    if (waiting.length > 2 * MAX_LOG_LINES) {
      logCount += waiting.length - MAX_LOG_LINES;
      waiting = waiting.slice(-MAX_LOG_LINES);
    }
  }

  function flushLog() {
    const log = $('log');
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const lines = waiting;
    waiting = [];
    logCount += lines.length;
    for (const [data, time] of lines.slice(-MAX_LOG_LINES)) {
      const li = element('li');
      li.dataset.level = data.level;
      const at = element('time', clock(time));
      at.dateTime = time || '';
      li.append(at);
      if (data.node_id) {
        const entry = rows.get(data.node_id);
        const name = element('span', entry ? entry.label : data.node_id, 'node');
        name.title = name.textContent;
        li.append(name);
      }
      li.append(element('span', data.message, 'text'));
      log.append(li);
    }
    while (log.childElementCount > MAX_LOG_LINES) log.firstElementChild.remove();
    $('no-log').hidden = logCount > 0;
    $('log-cut').hidden = logCount <= MAX_LOG_LINES;
    $('log-cut').textContent = `The last ${MAX_LOG_LINES} of ${logCount} lines.`;
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  const es = new EventSource(`/sse/unified/executions/${id}`);
  watchConnection(es, async () => {
    // EventSource does not say why it was refused; the API does. After the end there is nothing to come back for.
    if (ended) return lamp('ended');
    const response = await fetch(`/api/v1/executions/${id}`).catch(() => null);
    if (response && response.ok) return lamp('ended');
    const problem = response && await response.json().catch(() => null);
    lamp('failed', problem ? problem.title : 'not connected');
    if (problem) note(problem.detail);
  });
  // What comes while the server is asked waits here, so that nothing older is shown over something newer at the end.
  const arrived = [];
  let busy = false;
  es.onmessage = async (event) => {
    arrived.push(JSON.parse(event.data));
    if (busy) return;
    busy = true;
    try {
      while (arrived.length) {
        const data = arrived.shift();
        handle(data);
        if (data.type === 'STREAM_GAP' && !data.data.reset) await adopt();
      }
    } finally {
      busy = false;
    }
  };

  // The server's own fold knows what fell into a gap.
  async function adopt() {
    const response = await fetch(`/api/v1/executions/${id}`).catch(() => null);
    const state = response && response.ok && await response.json().catch(() => null);
    if (!state) return;
    run.started = run.started || state.started_at;
    runChanged(state, state.ended_at || state.started_at);
    for (const [nodeId, node] of Object.entries(state.nodes)) {
      nodeChanged({ ...node, node_id: nodeId, iteration: node.iterations }, node.started_at);
    }
  }

  function handle(data) {
    const time = (data.data && data.data.timestamp) || data.timestamp;
    // Of sub-runs, whose nodes have names of their own, only the log is shown.
    if (data.execution_id !== id && data.type !== 'EXECUTION_LOG') return;
    switch (data.type) {
      case 'EXECUTION_STATUS_CHANGED':
        runChanged(data.data, time);
        break;
      case 'NODE_STATUS_CHANGED':
        nodeChanged(data.data, time);
        break;
      case 'EXECUTION_ERROR':
        $('run-error').textContent = data.data.error;
        $('run-error').hidden = false;
        break;
      case 'EXECUTION_LOG':
        logLine(data.data, time);
        break;
      case 'STREAM_GAP':
        if (data.data.reset) {
          reset();
          note('The server was started anew; this shows what it has now.');
        } else {
          note('Some events are missing here: the server no longer had them.');
        }
        break;
      case 'STREAM_END':
        if (!data.data.reconnect) {
          es.close();
          lamp('ended');
        } else {
          lamp('reconnecting', `ended by the server (${data.data.reason})`);
        }
        break;
    }
  }

  $('abort').hidden = false;
  $('abort').onclick = async () => {
    $('abort').disabled = true;
    try {
      const response = await fetch(`/api/v1/executions/${id}/abort`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ reason: 'aborted on the page' }),
      });
      if (!response.ok) note((await response.json()).detail);
    } catch (error) {
      note(`The wish to abort did not reach the server: ${error.message}`);
    }
    $('abort').disabled = false;
  };
}

// ---- all runs ----

function listRuns() {
  $('list').hidden = false;
  $('address').textContent = location.origin;
  const rows = new Map();

  // Ids of ours sort by the time of their creation; the newest come first.
  function row(id) {
    let entry = rows.get(id);
    if (!entry) {
      const tr = element('tr');
      tr.dataset.execution = id;
      const link = element('a', id);
      link.href = `/executions/${encodeURIComponent(id)}`;
      const badge = element('span', '', 'badge');
      const cells = [element('td'), element('td'), element('td', '', 'number'), element('td', '', 'number')];
      cells[0].append(link);
      cells[1].append(badge);
      tr.append(...cells);
      const before = [...$('runs').children].find((other) => other.dataset.execution < id);
      $('runs').insertBefore(tr, before || null);
      entry = { tr, link, badge, began: cells[2], took: cells[3], started: null };
      rows.set(id, entry);
      $('no-runs').hidden = true;
    }
    return entry;
  }

  function show(id, status, name, started, endedAt) {
    const entry = row(id);
    // An answer that was long on its way may be older than what is shown; a run that has ended does not run again.
    if (TERMINAL.includes(entry.tr.dataset.status) && !TERMINAL.includes(status)) return;
    entry.tr.dataset.status = status;
    setBadge(entry.badge, status);
    if (name) entry.link.textContent = name;
    entry.link.title = id;
    if (started) {
      entry.started = started;
      entry.began.textContent = new Date(started).toLocaleString();
    }
    entry.took.textContent = endedAt ? took(entry.started, endedAt) : '';
  }

  let next = '/api/v1/executions';
  async function load() {
    const response = await fetch(next);
    const page = await response.json();
    if (!response.ok) throw new Error(page.detail);
    for (const run of page.executions) {
      show(run.execution_id, run.status, run.diagram_name, run.started_at, run.ended_at);
    }
    next = page.next;
    $('more').hidden = !next;
  }
  $('more').onclick = () => load().catch((error) => lamp('failed', error.message));

  // First the stream, then the list: whatever happens while the list is on its way waits here, so that nothing falls
  // between the two and nothing older is shown over something newer.
  let pending = [];
  const es = new EventSource('/sse/executions?types=EXECUTION_STATUS_CHANGED');
  watchConnection(es, () => lamp('failed', 'not connected'));
  async function loadAgain() {
    pending = pending || [];
    next = '/api/v1/executions';
    try {
      await load();
    } catch (error) {
      lamp('failed', error.message);
    }
    (pending || []).forEach(changed);
    pending = null;
  }
  es.onmessage = (event) => {
    const data = JSON.parse(event.data);
    switch (data.type) {
      case 'CONNECTION_ESTABLISHED':
        // Also when it came back: the list is the truth for what was missed.
        loadAgain();
        break;
      case 'STREAM_GAP':
        if (data.data.reset) {
          // The server was started anew, and knows nothing of these.
          rows.clear();
          $('runs').replaceChildren();
          $('no-runs').hidden = false;
        }
        loadAgain();
        break;
      case 'EXECUTION_STATUS_CHANGED':
        if (pending) pending.push(data);
        else changed(data);
        break;
      case 'STREAM_END':
        lamp('reconnecting', `ended by the server (${data.data.reason})`);
        break;
    }
  };

  function changed(data) {
    // A sub-run belongs to the page of its root.
    if (data.root_execution_id) return;
    const { status, diagram_name: name, timestamp } = data.data;
    const time = timestamp || data.timestamp;
    show(data.execution_id, status, name, status === 'RUNNING' ? time : null, TERMINAL.includes(status) ? time : null);
  }
}

const match = location.pathname.match(/^\/executions\/(.*)$/);
const id = match && match[1].replaceAll('%3A', ':');
if (!match) listRuns();
else if (/^[A-Za-z0-9_.:-]{1,128}$/.test(id)) followRun(id);
else lamp('failed', 'this is no id of a run');
