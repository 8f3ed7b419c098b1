// What this browser remembers: the theme, the basket. Storage may be switched off; then nothing is remembered.

export function keep(name, value, storage = "localStorage") {
  try {
    window[storage].setItem(`sceneminer.${name}`, typeof value === "string" ? value : JSON.stringify(value));
  } catch {
    return false;
  }
  return true;
}

/** A value that was kept as JSON, or null. */
export function kept(name, storage = "localStorage") {
  try {
    return JSON.parse(window[storage].getItem(`sceneminer.${name}`));
  } catch {
    return null;
  }
}
