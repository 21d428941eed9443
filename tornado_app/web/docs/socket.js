/** A form for each WebSocket: connect, authenticate by a message, close. It shows the messages, newest first. */

import { indented } from "./calls.js";
import { announce, block, h } from "./dom.js";
import { token } from "./token.js";

const SHOWN = 20; // messages

export function connectForm(url, path) {
  let socket = null;
  const messages = h("ol", { class: "messages", reversed: "" });
  const status = h("p", { class: "status" }, "Not connected");
  const buttons = Object.fromEntries(["Connect", "Authenticate", "Close"].map((name) =>
    [name, h("button", { type: "button", "aria-label": `${name}: ${path}` }, name)]));

  function show(text, state) {
    buttons.Connect.disabled = state !== "closed";
    buttons.Authenticate.disabled = state !== "open";
    buttons.Close.disabled = state === "closed";
    status.textContent = text;
    announce(`${path}: ${text}`);
  }

  function received({ data }) {
    messages.prepend(h("li", null, h("time", null, new Date().toLocaleTimeString()), block(indented(data))));
    while (messages.children.length > SHOWN) messages.lastChild.remove();
  }

  function connect() {
    messages.replaceChildren();
    show("Connecting", "connecting");
    socket = new WebSocket(url);
    socket.onopen = () => show("Open", "open");
    socket.onmessage = received;
    socket.onclose = ({ code, reason }) => show(`Closed: ${code} ${reason}`.trim(), "closed");
  }

  buttons.Connect.addEventListener("click", connect);
  buttons.Authenticate.addEventListener("click", () => socket.send(JSON.stringify({ type: "authenticate", token: token() })));
  buttons.Close.addEventListener("click", () => socket.close());
  buttons.Authenticate.disabled = buttons.Close.disabled = true;
  return h("details", { class: "try" }, h("summary", null, "Connect"),
    h("p", { class: "row" }, Object.values(buttons)), status, messages);
}
