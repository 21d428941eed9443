/** A form for each operation that sends a real request and shows the answer. */

import { compact, indented } from "./calls.js";
import { announce, block, h } from "./dom.js";
import { resolve } from "./schemas.js";
import { token } from "./token.js";

const NOTES = { path: "", query: "query", header: "header" };

function field(id, parameter) {
  const { name, in: place, required, example, schema } = parameter;
  const attributes = { id, type: schema.type === "integer" ? "number" : "text", autocomplete: "off", spellcheck: "false" };
  const input = h("input", { ...attributes, placeholder: example ?? schema.default ?? "" });
  input.required = required ?? false;
  if (place !== "header") input.value = example ?? ""; // headers are optional, and their examples are of one moment
  return { ...parameter, input, label: h("label", { for: id }, h("code", null, name), " ", h("small", null, NOTES[place])) };
}

/** The inputs of an operation, and the request that they stand for. */
export function request(base, method, path, operation) {
  const inputs = (operation.parameters ?? []).map(resolve).map((it) => field(`${operation.operationId}-${it.name}`, it));
  const content = operation.requestBody?.content["application/json"];
  const body = content && h("textarea", { id: `${operation.operationId}-body`, rows: 2, spellcheck: "false" });
  if (body) {
    body.value = JSON.stringify(content.example, null, 2);
    body.rows = body.value.split("\n").length;
  }
  const optional = operation.security.length === 2; // the first of the two is none

  function call() {
    const filled = inputs.filter(({ input }) => input.value !== "");
    const place = filled.filter((it) => it.in === "path")
      .reduce((text, it) => text.replace(`{${it.name}}`, encodeURIComponent(it.input.value)), path);
    const query = new URLSearchParams(filled.filter((it) => it.in === "query").map((it) => [it.name, it.input.value]));
    return {
      method: method.toUpperCase(),
      url: base + place + (query.size ? `?${query}` : ""),
      headers: filled.filter((it) => it.in === "header").map((it) => [it.name, it.input.value]),
      body: body?.value.trim() ? compact(body.value.trim()) : null,
      authorize: operation.security.length > 0 && (!optional || token() !== ""),
    };
  }

  return { inputs, body, call };
}

async function send({ method, url, headers, body, authorize }) {
  const all = new Headers(headers);
  if (authorize && token()) all.set("Authorization", `Bearer ${token()}`);
  if (body !== null) all.set("Content-Type", "application/json");
  const began = performance.now();
  const response = await fetch(url, { method, headers: all, body, credentials: "omit", cache: "no-store" });
  const text = await response.text();
  return { response, text, milliseconds: Math.round(performance.now() - began) };
}

function answer({ response, text, milliseconds }) {
  const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`);
  const typed = response.headers.get("Content-Type")?.startsWith("application/json");
  return [
    h("p", { class: `status ${response.ok ? "good" : "bad"}` }, `${response.status} ${response.statusText}`,
      h("small", null, ` ${milliseconds} ms`)),
    h("h4", null, "Headers"),
    block(headers.join("\n")),
    h("h4", null, "Body"),
    text ? block(typed ? indented(text) : text) : h("p", null, "The answer has no body."),
  ];
}

/** The form of a request. */
export function form(name, { inputs, body, call }, secured, changed) {
  const target = h("div", { class: "answer" });
  const button = h("button", { type: "submit" }, secured ? "Authorize and send" : "Send");
  const element = h("form", { class: "send", "aria-label": `Send: ${name}` },
    inputs.map(({ label, input }) => h("p", null, label, input)),
    body && h("p", null, h("label", { for: body.id }, "Body"), body),
    h("p", { class: "row" }, button,
      secured ? h("span", null, "with the ", h("a", { href: "#token" }, "bearer token"), " of this page") : ""));
  element.addEventListener("input", changed);
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const received = await send(call());
      target.replaceChildren(...answer(received));
      announce(`${name}: ${received.response.status} ${received.response.statusText}`);
    } catch (error) {
      const text = `The request failed: ${error.message}`;
      target.replaceChildren(h("p", { class: "status bad" }, text));
      announce(text);
    } finally {
      button.disabled = false;
    }
  });
  return h("details", { class: "try" }, h("summary", null, "Send a request"), element, target);
}
