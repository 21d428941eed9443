/**
 * Draws openapi.json for people: operations by frontend, sockets, headers and errors, each with a line to copy.
 * Only text nodes are made of what the document says, never markup.
 */

const METHODS = ["get", "post", "put", "patch", "delete"];
const base = new URL(".", location.href).href.replace(/\/$/, "");
const content = document.getElementById("content");

/** An element; children that are no nodes become text, empty ones are left out. */
function h(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) made.setAttribute(name, value);
  made.append(...children.flat().filter((child) => child != null && child !== ""));
  return made;
}

/** `code` and **bold** of one line of Markdown. */
function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return h("code", null, part.slice(1, -1));
    return part.startsWith("**") ? h("strong", null, part.slice(2, -2)) : part;
  });
}

const paragraphs = (text) => text.split(/\n{2,}/).map((part) => h("p", null, inline(part)));

// -- schemas ---------------------------------------------------------------------------------------

let api;

function resolve(node) {
  let found = node;
  while (found.$ref) found = found.$ref.slice(2).split("/").reduce((place, key) => place[key], api);
  return found;
}

function typeOf(schema) {
  const found = resolve(schema);
  if (found.enum) return found.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (found.anyOf) return found.anyOf.map(typeOf).join(" or ");
  if (found.type === "array") return `list of ${typeOf(found.items)}`;
  return found.format ?? found.type;
}

/** What a member says of itself; what may be null says it one level down. */
function meaningOf(schema) {
  const found = resolve(schema);
  return found.description ?? (found.anyOf ? meaningOf(found.anyOf[0]) : "");
}

/** What a value may be, beyond its type; bounds that JavaScript cannot hold are those of the type. */
function boundsOf(schema) {
  const found = resolve(schema);
  const inner = (found.anyOf ?? []).map(boundsOf).join("");
  const { minimum, maximum, minLength, maxLength, pattern, default: fallback } = found;
  const texts = [];
  if (minimum !== undefined) texts.push(maximum <= Number.MAX_SAFE_INTEGER ? `${minimum} to ${maximum}` : `≥ ${minimum}`);
  if (maxLength !== undefined) texts.push(`${minLength ?? 0} to ${maxLength} characters`);
  if (pattern !== undefined) texts.push(pattern);
  if (fallback !== undefined && !Array.isArray(fallback)) texts.push(`default ${JSON.stringify(fallback)}`);
  return texts.join(", ") + inner;
}

/** Every member of a schema, those inside with their path: `data.leaderboard[].score`. */
function members(schema, path = "") {
  const found = resolve(schema);
  if (found.type === "array") return members(found.items, `${path}[]`);
  const dot = path ? `${path}.` : "";
  return Object.entries(found.properties ?? {}).flatMap(([name, inner]) => [
    { name: dot + name, schema: inner, required: found.required?.includes(name) ?? false },
    ...members(inner, dot + name),
  ]);
}

function table(caption, rows, note) {
  if (!rows.length) return null;
  const body = rows.map(({ name, schema, required, description }) => {
    const bounds = boundsOf(schema);
    return h("tr", null,
      h("th", { scope: "row" }, h("code", null, name), required ? "" : h("small", null, ` ${note}`)),
      h("td", null, typeOf(schema)),
      h("td", null, inline(description ?? meaningOf(schema)), bounds && [" ", h("code", null, bounds)]));
  });
  const head = ["Name", "Type", "Meaning"].map((name) => h("th", { scope: "col" }, name));
  return h("table", null, h("caption", null, caption), h("thead", null, h("tr", null, head)), h("tbody", null, body));
}

// -- lines to copy ---------------------------------------------------------------------------------

async function copy(code, button) {
  const said = document.getElementById("said");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = said.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code); // no clipboard on an insecure origin: the reader's own keys work
    button.textContent = said.textContent = "Selected";
  }
  setTimeout(() => ((button.textContent = "Copy"), (said.textContent = "")), 2000);
}

function copyable(label, text) {
  const code = h("code", null, text);
  const button = h("button", { type: "button", "aria-label": `Copy: ${label}` }, "Copy");
  button.addEventListener("click", () => copy(code, button));
  return h("div", { class: "copyable" }, h("pre", null, code), button);
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curl(method, path, operation) {
  const parameters = (operation.parameters ?? []).map(resolve);
  const filled = parameters.reduce((found, p) => found.replace(`{${p.name}}`, p.example ?? p.name), path);
  const verb = ["get", "post"].includes(method) ? "" : `-X ${method.toUpperCase()} `; // --json is a POST
  const parts = [`curl ${verb}${quoted(base + filled)}`];
  if (operation.security.some((way) => way.bearerAuth)) parts.push('-H "Authorization: Bearer $TOKEN"');
  const body = operation.requestBody?.content["application/json"].example;
  if (body) parts.push(`--json ${quoted(JSON.stringify(body))}`);
  return parts.join(" \\\n  ");
}

const json = (value) => h("pre", null, h("code", null, JSON.stringify(value, null, 2)));

// -- sections --------------------------------------------------------------------------------------

const TOKEN = { 0: "No token is needed.", 1: "Needs a token.", 2: "A token is optional." };

function title(id, ...words) {
  return h("h3", { id }, h("a", { href: `#${id}` }, words));
}

function answers(responses) {
  const found = Object.entries(responses).map(([status, response]) => [status, resolve(response)]);
  const good = found.filter(([, r]) => !r.content?.["application/json"].examples);
  const bad = found.filter(([, r]) => r.content?.["application/json"].examples);
  return [
    ...good.map(([status, response]) => {
      const body = response.content?.["application/json"];
      const headers = Object.keys(response.headers ?? {}).flatMap((name) => [" ", h("code", null, name)]);
      return [
        h("h4", null, `${status} `, h("span", null, response.description)),
        body && json(body.example),
        body && table("Members of the answer", members(body.schema), "may be missing"),
        h("p", { class: "headers" }, "Headers:", headers),
      ];
    }),
    h("details", null,
      h("summary", null, `Refusals: ${bad.map(([status]) => status).join(", ")}`),
      h("dl", null, bad.flatMap(([status, r]) => [h("dt", null, status), h("dd", null, inline(r.description))]))),
  ];
}

function operation(method, path, it) {
  const parameters = (it.parameters ?? []).map(resolve);
  const body = it.requestBody;
  return h("article", { "aria-labelledby": it.operationId },
    title(it.operationId, h("span", { class: `method ${method}` }, method.toUpperCase()), " ", h("code", null, path)),
    h("p", null, `${it.summary}. `, TOKEN[it.security.length]),
    copyable(`${method} ${path}`, curl(method, path, it)),
    table("Parameters and headers", parameters, "optional"),
    body && table(body.required ? "Body" : "Body, which may be left out",
      members(body.content["application/json"].schema), "optional"),
    answers(it.responses).flat());
}

function socket(it) {
  const id = it.path.slice(1).replaceAll("/", "-");
  const message = (heading) => (m) => [
    h("h4", null, heading, " ", h("span", null, inline(m.description))),
    json(m.example),
    table("Members of the message", members(m.schema), "may be missing"),
  ];
  const closes = it.closes.flatMap((c) => [h("dt", null, `${c.code} ${c.reason}`), h("dd", null, inline(c.description))]);
  return h("article", { "aria-labelledby": id },
    title(id, h("span", { class: "method" }, "WS"), " ", h("code", null, it.path)),
    h("p", null, `${it.tags.join(", ")}. `, inline(it.description)),
    copyable(it.path, `new WebSocket(${JSON.stringify(base.replace(/^http/, "ws") + it.path)})`),
    it.sends.flatMap(message("From the service:")),
    it.receives.flatMap(message("From the client:")),
    h("details", null, h("summary", null, "Close codes"), h("dl", null, closes)));
}

function section(id, name, ...children) {
  return h("section", { "aria-labelledby": id }, h("h2", { id }, name), children.flat());
}

function operationsOf(tag) {
  const sockets = new Set(api["x-websockets"].map((it) => it.path)); // they have a section of their own
  return Object.entries(api.paths).filter(([path]) => !sockets.has(path)).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]?.tags.includes(tag)).map((method) => operation(method, path, item[method])));
}

function reference() {
  const headers = Object.entries(api.components.headers).map(([name, header]) => ({ ...header, name, required: true }));
  const codes = api["x-errors"].map((e) =>
    h("tr", null, h("th", { scope: "row" }, h("code", null, e.error)), h("td", null, e.status), h("td", null, e.message)));
  const head = ["Code", "Status", "Message"].map((name) => h("th", { scope: "col" }, name));
  return [
    section("headers", "Headers of answers", table("All headers", headers, "")),
    section("errors", "Errors",
      json({ error: api["x-errors"][0].error, message: api["x-errors"][0].message }),
      h("table", null, h("caption", null, "All codes"), h("thead", null, h("tr", null, head)), h("tbody", null, codes))),
  ];
}

function contents() {
  const link = (heading) => h("a", { href: `#${heading.id}` }, heading.textContent);
  return [...content.querySelectorAll("section")].map((part) => {
    const inner = [...part.querySelectorAll("h3")].map((heading) => h("li", null, link(heading)));
    return [h("p", null, link(part.querySelector("h2"))), inner.length ? h("ul", null, inner) : null];
  });
}

function draw() {
  document.getElementById("version").textContent = api.info.version;
  content.append(
    section("about", "About", paragraphs(api.info.description)),
    ...api.tags.map((tag) =>
      section(tag.name.toLowerCase().replaceAll(" ", "-"), tag.name, paragraphs(tag.description), operationsOf(tag.name))),
    section("sockets", "WebSockets", api["x-websockets"].map(socket)),
    ...reference());
  document.getElementById("contents").append(...contents().flat().filter(Boolean));
}

/** The contents are open where they stand beside the text, and close after a choice where they stand above it. */
function menu() {
  const element = document.getElementById("menu");
  const wide = matchMedia("(min-width: 60rem)");
  const fit = () => (element.open = wide.matches);
  wide.addEventListener("change", fit);
  fit();
  element.addEventListener("click", (event) => {
    if (!wide.matches && event.target.closest("a")) element.open = false;
  });
}

try {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  api = await answer.json();
  draw();
  menu();
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
} catch (error) {
  content.append(h("p", { role: "alert" }, `The description could not be loaded (${error.message}). Reload the page to try again.`));
}
