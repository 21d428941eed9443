/**
 * Requests as code. A call is `{ method, url, headers, body, authorize }`: `headers` are pairs of name and text, `body` is
 * JSON as text or null, `authorize` adds the header Authorization with the reader's `$TOKEN`.
 */

import { h } from "./dom.js";

const STRINGS = /"(?:[^"\\]|\\.)*"/.source;

/** JSON without whitespace, as text: the value of each number stays exact. */
export const compact = (text) => text.replace(new RegExp(`(${STRINGS})|\\s+`, "g"), "$1");

/** JSON with line breaks, as text: the value of each number stays exact. */
export function indented(text) {
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  return compact(text).replace(new RegExp(`${STRINGS}|{}|\\[\\]|[{}[\\],:]`, "g"), (token) => {
    if (token === ":") return ": ";
    if (token === ",") return token + line();
    if (token === "{" || token === "[") return (depth++, token + line());
    return token === "}" || token === "]" ? (depth--, line() + token) : token;
  });
}

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A string literal of JavaScript, and of Python. */
const literal = (text) => `'${text.replace(/[\\']/g, "\\$&").replaceAll("\n", "\\n")}'`;

function curl({ method, url, headers, body, authorize }) {
  const verb = (body === null ? "GET" : "POST") === method ? "" : `-X ${method} `; // --json is a POST
  const parts = [`curl ${verb}${shell(url)}`];
  if (authorize) parts.push('-H "Authorization: Bearer $TOKEN"');
  parts.push(...headers.map(([name, text]) => `-H ${shell(`${name}: ${text}`)}`));
  if (body !== null) parts.push(`--json ${shell(body)}`);
  return parts.join(" \\\n  ");
}

function javascript({ method, url, headers, body, authorize }) {
  const pairs = headers.map(([name, text]) => `${literal(name)}: ${literal(text)}`);
  if (authorize) pairs.unshift("Authorization: `Bearer ${token}`");
  if (body !== null) pairs.push("'Content-Type': 'application/json'");
  const options = [];
  if (method !== "GET") options.push(`method: '${method}'`);
  if (pairs.length) options.push(`headers: {\n${pairs.map((pair) => `    ${pair},\n`).join("")}  }`);
  if (body !== null) options.push(`body: ${literal(body)}`);
  const second = options.length ? `, {\n${options.map((option) => `  ${option},\n`).join("")}}` : "";
  const first = authorize ? "const token = process.env.TOKEN; // in a browser, your player's token\n" : "";
  return `${first}const response = await fetch(${literal(url)}${second});\nconsole.log(response.status, await response.text());`;
}

function python({ method, url, headers, body, authorize }) {
  const pairs = headers.map(([name, text]) => `${literal(name)}: ${literal(text)}`);
  if (authorize) pairs.unshift("'Authorization': f'Bearer {os.environ[\"TOKEN\"]}'");
  if (body !== null) pairs.push("'Content-Type': 'application/json'");
  const lines = [`    ${literal(url)},`];
  if (pairs.length) lines.push(`    headers={\n${pairs.map((pair) => `        ${pair},\n`).join("")}    },`);
  if (body !== null) lines.push(`    data=${literal(body)}.encode(),`);
  const imports = authorize ? "import os\n\nimport requests\n" : "import requests\n";
  return `${imports}\nresponse = requests.${method.toLowerCase()}(\n${lines.join("\n")}\n)\nprint(response.status_code, response.text)`;
}

const HTTP = { curl, JavaScript: javascript, Python: python };

const websocket = (url) => `const socket = new WebSocket(${literal(url)});\nsocket.onmessage = ({ data }) => console.log(data);`;

const SOCKETS = {
  curl: websocket, // few versions of curl speak WebSocket
  JavaScript: websocket,
  Python: (url) => `from websockets.sync.client import connect\n\nwith connect(${literal(url)}) as socket:\n` +
    "    for message in socket:\n        print(message)",
};

let language = "curl";
const samples = [];

/** The code of a request in the chosen language. `call` is called whenever the code is drawn. */
function sample(writers, call) {
  const code = h("code");
  const draw = () => (code.textContent = writers[language](call()));
  samples.push(draw);
  draw();
  return { code, draw };
}

export const httpSample = (call) => sample(HTTP, call);
export const socketSample = (url) => sample(SOCKETS, () => url);

export function drawSamples() {
  for (const draw of samples) draw();
}

/** Fills the group of radio buttons that chooses the language of all samples. */
export function chooseLanguage(group) {
  for (const name of Object.keys(HTTP)) {
    const button = h("input", { type: "radio", name: "language", value: name });
    button.checked = name === language;
    group.append(h("label", null, button, ` ${name}`));
  }
  group.addEventListener("change", ({ target }) => {
    language = target.value;
    drawSamples();
  });
}
