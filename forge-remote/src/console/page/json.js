// JSON as text with colours, and as a tree. The text is indented token by token: numbers and duplicate members
// stay as they were sent.

import { clock, h } from './dom.js';

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/g;
/** Longer texts have no colours. */
const COLOURED = 60_000;

export function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Indents a JSON text; any other text is returned unchanged. */
export function indent(text) {
  if (!isJson(text)) return text;
  let depth = 0;
  let out = '';
  const line = () => `\n${'  '.repeat(depth)}`;
  const tokens = text.match(TOKEN) ?? [];
  tokens.forEach((token, at) => {
    const isEmpty = (tokens[at - 1] === '{' && token === '}') || (tokens[at - 1] === '[' && token === ']');
    if (token === '{' || token === '[') {
      depth += 1;
      out += token;
      if (tokens[at + 1] !== '}' && tokens[at + 1] !== ']') out += line();
    } else if (token === '}' || token === ']') {
      depth -= 1;
      out += isEmpty ? token : line() + token;
    } else if (token === ',') out += token + line();
    else if (token === ':') out += ': ';
    else out += token;
  });
  return out;
}

/** A body: indented and coloured if it is JSON. */
export function body(text) {
  const shown = indent(text);
  const parts = shown.length > COLOURED || !isJson(shown) ? [shown] : coloured(shown);
  return h.pre({ class: 'body', tabindex: '0' }, parts);
}

function coloured(text) {
  const parts = [];
  let end = 0;
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (index > end) parts.push(text.slice(end, index));
    end = index + token.length;
    const kind = /^[{}[\]:,]$/.test(token)
      ? null
      : token[0] !== '"'
        ? 'json-value'
        : text[end] === ':'
          ? 'json-name'
          : 'json-text';
    parts.push(kind ? h.span({ class: kind }, token) : token);
  }
  return parts;
}

const TIMES = new Set(['exp', 'iat', 'nbf']);

/** A value as a tree: objects and arrays can be closed. */
export function tree(name, value, depth = 0) {
  const label = h.span({ class: 'json-name' }, name);
  if (value === null || typeof value !== 'object') {
    const kind = typeof value === 'string' ? 'json-text' : 'json-value';
    const time = TIMES.has(name) && typeof value === 'number' ? clock(value * 1000) : null;
    return h.div(
      { class: 'leaf' },
      label,
      ' ',
      h.span({ class: kind }, String(value)),
      time && h.span({ class: 'dim' }, ` ${time}`),
    );
  }
  const entries = Object.entries(value);
  const size = Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`;
  if (entries.length === 0) return h.div({ class: 'leaf' }, label, ' ', h.span({ class: 'dim' }, size));
  return h.details(
    { class: 'branch', open: depth < 3 },
    h.summary(label, ' ', h.span({ class: 'dim' }, size)),
    entries.map(([inner, one]) => tree(inner, one, depth + 1)),
  );
}
