// The filter is one text; chips and sliders are views of its conditions, joined by 'and'.

const HAS_TAG = 0.5;
const NAME = String.raw`[A-Za-z_][\w.]*`;
const TAG = /^tag\.(\w+)\s*(>=?|<=?)\s*(\d*\.?\d+)$/i;
const RANGE = new RegExp(String.raw`^(${NAME})\s*(>=|<=)\s*(-?\d*\.?\d+)$`, "i");
const CHOICE = /^(log|location)\s*==?\s*'((?:[^']|'')*)'$/i;

/** Conditions joined by 'and' at the top; a text that 'or' joins at the top is one condition. */
export function conditions(text) {
  const parts = [];
  let [from, depth, quoted, between] = [0, 0, false, false];
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === "'") quoted = !quoted;
    if (quoted) continue;
    if (char === "(") depth += 1;
    if (char === ")") depth -= 1;
    if (depth !== 0 || !/\s/.test(text[at - 1] ?? " ")) continue;
    const word = /^(and|or|between)\b/i.exec(text.slice(at))?.[1].toLowerCase();
    if (word === "or") return [text.trim()];
    if (word === "between") between = true;
    if (word !== "and") continue;
    if (between) {
      between = false;
      continue;
    }
    parts.push(text.slice(from, at).trim());
    from = at + 3;
  }
  parts.push(text.slice(from).trim());
  return parts.filter(Boolean);
}

const isOneOf = (text) => conditions(text).length === 1 && /\sor\s/i.test(text.replace(/'[^']*'|\([^()]*\)/g, ""));

/** Put together again; what 'or' joins is set in parentheses beside others. */
function joined(parts) {
  const kept = parts.map((part) => part.trim()).filter(Boolean);
  return kept.length < 2 ? kept.join("") : kept.map((part) => (isOneOf(part) ? `(${part})` : part)).join(" and ");
}

/** What chips and sliders can show: {tags: {night: 1 | -1}, ranges: {risk: [lo, hi]}, choices: {log: name}}. */
export function shown(text) {
  const found = { tags: {}, ranges: {}, choices: {}, others: [] };
  for (const part of conditions(text)) {
    const tag = TAG.exec(part);
    const range = RANGE.exec(part);
    const choice = CHOICE.exec(part);
    if (tag) found.tags[tag[1]] = tag[2].startsWith(">") ? 1 : -1;
    else if (choice) found.choices[choice[1].toLowerCase()] = choice[2].replaceAll("''", "'");
    else if (range) {
      const bounds = (found.ranges[range[1]] ??= [null, null]);
      bounds[range[2] === ">=" ? 0 : 1] = Number(range[3]);
    } else found.others.push(part);
  }
  return found;
}

function without(text, isIt) {
  return conditions(text).filter((part) => !isIt(part));
}

/** With a tag (1), without it (-1), or not asked for (0). */
export function withTag(text, tag, way) {
  const rest = without(text, (part) => TAG.exec(part)?.[1] === tag);
  const added = { 1: [`tag.${tag} >= ${HAS_TAG}`], "-1": [`tag.${tag} < ${HAS_TAG}`], 0: [] };
  return joined([...rest, ...added[way]]);
}

/** A column from `low` to `high`; null leaves that side open. */
export function withRange(text, column, low, high) {
  const rest = without(text, (part) => RANGE.exec(part)?.[1] === column);
  if (low !== null) rest.push(`${column} >= ${low}`);
  if (high !== null) rest.push(`${column} <= ${high}`);
  return joined(rest);
}

export function withChoice(text, column, value) {
  const rest = without(text, (part) => CHOICE.exec(part)?.[1].toLowerCase() === column);
  return joined(value ? [...rest, `${column} == ${quoted(value)}`] : rest);
}

export const withCondition = (text, condition) => joined([...conditions(text), condition]);
export const quoted = (value) => `'${value.replaceAll("'", "''")}'`;
