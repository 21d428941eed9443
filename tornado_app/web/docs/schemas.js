/** JSON Schemas as tables of fields. */

import { h, inline } from "./dom.js";

let root;

/** Sets the document that references are looked up in. */
export function setRoot(document) {
  root = document;
}

export function resolve(node) {
  let target = node;
  while (target.$ref) target = target.$ref.slice(2).split("/").reduce((place, key) => place[key], root);
  return target;
}

function typeOf(schema) {
  const target = resolve(schema);
  if (target.enum) return target.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (target.anyOf) return target.anyOf.map(typeOf).join(" or ");
  if (target.type === "array") return `list of ${typeOf(target.items)}`;
  return target.format ?? target.type;
}

/** The description of a schema; of a nullable one, that of the other type. */
function meaningOf(schema) {
  const target = resolve(schema);
  return target.description ?? (target.anyOf ? meaningOf(target.anyOf[0]) : "");
}

/** The limits of a value beyond its type. JavaScript cannot hold the limits of an int64, which the type says already. */
function boundsOf(schema) {
  const target = resolve(schema);
  const inner = (target.anyOf ?? []).map(boundsOf).join("");
  const { minimum, maximum, minLength, maxLength, pattern, default: fallback } = target;
  const texts = [];
  if (minimum !== undefined) texts.push(maximum <= Number.MAX_SAFE_INTEGER ? `${minimum} to ${maximum}` : `≥ ${minimum}`);
  if (maxLength !== undefined) texts.push(`${minLength ?? 0} to ${maxLength} characters`);
  if (pattern !== undefined) texts.push(pattern);
  if (fallback !== undefined && !Array.isArray(fallback)) texts.push(`default ${JSON.stringify(fallback)}`);
  return texts.join(", ") + inner;
}

/** The fields of a schema; nested ones have their path as name: `data.leaderboard[].score`. */
export function fields(schema, path = "") {
  const target = resolve(schema);
  if (target.type === "array") return fields(target.items, `${path}[]`);
  const dot = path ? `${path}.` : "";
  return Object.entries(target.properties ?? {}).flatMap(([name, inner]) => [
    { name: dot + name, schema: inner, required: target.required?.includes(name) ?? false },
    ...fields(inner, dot + name),
  ]);
}

/** A table of fields, parameters or headers; null without rows. `note` marks those that are not required. */
export function table(caption, rows, note) {
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
