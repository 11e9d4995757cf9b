// openapi.json, to read: each route with what it takes and gives, each shape with its fields.
const element = (name, text, ...inside) => {
  const found = Object.assign(document.createElement(name), { textContent: text });
  found.append(...inside);
  return found;
};
const nameOf = (schema) => (schema?.$ref ? schema.$ref.split("/").pop() : null);

function typeOf(schema) {
  if (!schema) return "any";
  if (schema.$ref) return nameOf(schema);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return several.map(typeOf).join(" | ");
  if (schema.type === "array") return `[${typeOf(schema.items)}]`;
  if (schema.type === "object" && schema.properties) return Object.keys(schema.properties).join(", ");
  if (schema.type === "object") return `{name: ${typeOf(schema.additionalProperties || null)}}`;
  return schema.format === "binary" ? "file" : schema.type ?? "any";
}

function route(path, method, operation) {
  const found = element("section", "");
  found.className = "route";
  found.append(element("h3", "", element("code", `${method.toUpperCase()} ${path}`)), element("p", operation.summary ?? ""));
  if (operation.description) found.append(Object.assign(element("p", operation.description.trim()), { className: "soft" }));
  for (const [kind, content] of Object.entries(operation.requestBody?.content ?? {})) {
    found.append(element("p", `takes ${kind}: ${typeOf(content.schema)}`));
  }
  for (const [status, answer] of Object.entries(operation.responses)) {
    const [content] = Object.values(answer.content ?? {});
    const shape = content ? `: ${typeOf(content.schema)}` : "";
    if (status.startsWith("2")) found.append(element("p", `gives ${status}${shape}`));
  }
  const problems = Object.keys(operation.responses).filter((status) => !status.startsWith("2"));
  if (problems.length) found.append(Object.assign(element("p", `problems: ${problems.join(", ")}`), { className: "soft" }));
  return found;
}

function shape(name, schema) {
  const lines = Object.entries(schema.properties ?? {}).map(([field, value]) => {
    const needed = schema.required?.includes(field) ? "" : "?";
    return `${field}${needed}: ${typeOf(value)}${value.description ? `   ${value.description}` : ""}`;
  });
  const found = element("section", "", element("h3", name), element("pre", lines.join("\n")));
  found.className = "route";
  if (schema.description) found.insertBefore(element("p", schema.description), found.lastChild);
  return found;
}

const described = await (await fetch("/openapi.json")).json();
for (const [path, entry] of Object.entries(described.paths)) {
  for (const [method, operation] of Object.entries(entry)) document.getElementById("routes").append(route(path, method, operation));
}
for (const [name, schema] of Object.entries(described.components.schemas)) {
  document.getElementById("shapes").append(shape(name, schema));
}
