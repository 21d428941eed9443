/** Draws openapi.json: the operations of each API, WebSockets, headers and errors, each with code to copy and a form to try it. */

import { chooseLanguage, drawSamples, httpSample, socketSample } from "./calls.js";
import { copyable, h, inline, json, paragraphs } from "./dom.js";
import { filter } from "./filter.js";
import { fields, resolve, setRoot, table } from "./schemas.js";
import { form, request } from "./send.js";
import { connectForm } from "./socket.js";
import { watchToken } from "./token.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const base = new URL(".", location.href).href.replace(/\/$/, "");
const content = document.getElementById("content");

let api;
const entries = []; // for the filter

function title(id, ...words) {
  return h("h3", { id }, h("a", { href: `#${id}` }, words));
}

const isError = (response) => response.content?.["application/json"].examples !== undefined;

function responses(operation) {
  const all = Object.entries(operation.responses).map(([status, response]) => [status, resolve(response)]);
  const errors = all.filter(([, response]) => isError(response));
  return [
    ...all.filter(([, response]) => !isError(response)).map(([status, response]) => {
      const body = response.content?.["application/json"];
      const headers = Object.keys(response.headers ?? {}).flatMap((name) => [" ", h("code", null, name)]);
      return [
        h("h4", null, `${status} `, h("span", null, response.description)),
        body && json(body.example),
        body && table("Response fields", fields(body.schema), "optional"),
        headers.length ? h("p", { class: "headers" }, "Response headers:", headers) : "",
      ];
    }),
    h("details", null,
      h("summary", null, `Errors: ${errors.map(([status]) => status).join(", ")}`),
      h("dl", null, errors.flatMap(([status, it]) => [h("dt", null, status), h("dd", null, inline(it.description))]))),
  ];
}

const ACCESS = { 0: " No token is needed.", 2: " A token is optional." };

function codesOf(operation) {
  const examples = Object.values(operation.responses).map(resolve).filter(isError);
  return examples.flatMap((it) => Object.keys(it.content["application/json"].examples));
}

function operationArticle(method, path, it) {
  const name = `${method.toUpperCase()} ${path}`;
  const made = request(base, method, path, it);
  const { code, draw } = httpSample(made.call);
  const body = it.requestBody;
  const element = h("article", { "aria-labelledby": it.operationId },
    title(it.operationId, h("span", { class: `method ${method}` }, method.toUpperCase()), " ", h("code", null, path)),
    h("p", null, inline(it.summary), ACCESS[it.security.length]),
    copyable(name, code),
    form(name, made, it.security.length > 0, draw),
    table("Parameters and request headers", (it.parameters ?? []).map(resolve), "optional"),
    body && table(body.required ? "Request body" : "Request body (optional)",
      fields(body.content["application/json"].schema), "optional"),
    responses(it).flat());
  entries.push({ element, noun: "operation", text: [name, it.summary, it.operationId, ...codesOf(it)].join(" ") });
  return element;
}

function socketArticle(it) {
  const id = it.path.slice(1).replaceAll("/", "-");
  const url = base.replace(/^http/, "ws") + it.path;
  const message = (direction) => (m) => [
    h("h4", null, `${direction}: `, h("span", null, inline(m.description))),
    json(m.example),
    table("Message fields", fields(m.schema), "optional"),
  ];
  const closes = it.closes.flatMap((c) => [h("dt", null, `${c.code} ${c.reason}`), h("dd", null, inline(c.description))]);
  const element = h("article", { "aria-labelledby": id },
    title(id, h("span", { class: "method" }, "WS"), " ", h("code", null, it.path)),
    h("p", null, `${it.tags.join(", ")}. `, inline(it.description)),
    copyable(it.path, socketSample(url).code),
    connectForm(url, it.path),
    it.sends.flatMap(message("Server → client")),
    it.receives.flatMap(message("Client → server")),
    h("details", null, h("summary", null, "Close codes"), h("dl", null, closes)));
  const codes = it.closes.map((close) => `${close.code} ${close.reason}`);
  entries.push({ element, noun: "WebSocket", text: ["WS", it.path, it.summary, ...codes].join(" ") });
  return element;
}

function section(id, name, ...children) {
  return h("section", { "aria-labelledby": id }, h("h2", { id }, name), children.flat());
}

function operationsOf(tag) {
  const sockets = new Set(api["x-websockets"].map((it) => it.path)); // they have a section of their own
  return Object.entries(api.paths).filter(([path]) => !sockets.has(path)).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]?.tags.includes(tag)).map((method) => operationArticle(method, path, item[method])));
}

function errorRow({ error, status, message }) {
  const element = h("tr", null,
    h("th", { scope: "row" }, h("code", null, error)), h("td", null, status), h("td", null, message));
  entries.push({ element, noun: "error code", text: `${error} ${status}` });
  return element;
}

function reference() {
  const headers = Object.entries(api.components.headers).map(([name, header]) => ({ ...header, name, required: true }));
  const head = ["Code", "Status", "Message"].map((name) => h("th", { scope: "col" }, name));
  return [
    section("headers", "Response headers", table("All headers", headers, "")),
    section("errors", "Errors",
      json({ error: api["x-errors"][0].error, message: api["x-errors"][0].message }),
      h("table", null, h("caption", null, "All codes"), h("thead", null, h("tr", null, head)),
        h("tbody", null, api["x-errors"].map(errorRow)))),
  ];
}

/** Fills the contents. Returns the sections with their links, for the filter. */
function contents() {
  const link = (heading) => h("a", { href: `#${heading.id}` }, heading.textContent);
  const sections = [...content.querySelectorAll("section")].map((element) => {
    const items = [...element.querySelectorAll("article")].map((article) => {
      const item = h("li", null, link(article.querySelector("h3")));
      entries.find((entry) => entry.element === article).link = item;
      return item;
    });
    const group = h("div", null, h("p", null, link(element.querySelector("h2"))), items.length ? h("ul", null, items) : "");
    return { element, link: group };
  });
  document.getElementById("contents").append(...sections.map(({ link: group }) => group));
  return sections;
}

function draw() {
  document.getElementById("version").textContent = api.info.version;
  content.append(
    section("about", "About", paragraphs(api.info.description)),
    ...api.tags.map((tag) =>
      section(tag.name.toLowerCase().replaceAll(" ", "-"), tag.name, paragraphs(tag.description), operationsOf(tag.name))),
    section("sockets", "WebSockets", api["x-websockets"].map(socketArticle)),
    ...reference());
}

/** Beside the text the contents are open; above it they close after a choice. */
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
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`status ${response.status}`);
  api = await response.json();
  setRoot(api);
  chooseLanguage(document.getElementById("languages"));
  draw();
  filter(entries, contents());
  watchToken(drawSamples);
  menu();
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
} catch (error) {
  content.append(h("p", { role: "alert" }, `openapi.json could not be loaded (${error.message}). Reload the page to try again.`));
}
