export * from "./connection.js";
export * from "./scores.js";
