// Elements, made by hand: nothing is ever parsed out of text.

/** An element with these attributes (`on…` are listeners, false and null are left out) and children. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (["value", "checked", "disabled"].includes(name)) made[name] = value;
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
  return made;
}

/** Puts these in place of what is there. Who had the focus, or had opened something, finds it as it was: by its id. */
export function put(place, ...children) {
  const focused = document.activeElement, within = place.contains(focused) && focused.id;
  const selection = within && focused.tagName === "TEXTAREA" ? [focused.selectionStart, focused.selectionEnd] : null;
  const open = new Map([...place.querySelectorAll("details[id]")].map(one => [one.id, one.open]));
  place.replaceChildren(...children.flat(Infinity).filter(Boolean));
  for (const one of place.querySelectorAll("details[id]")) if (open.has(one.id)) one.open = open.get(one.id);
  if (!within) return;
  // What has gone gives the focus to what it stood in.
  const again = document.getElementById(within) ?? place.querySelector("h2, h3, [tabindex]");
  again?.focus({ preventScroll: true });
  if (selection && again?.tagName === "TEXTAREA") again.setSelectionRange(...selection);
}

export function stars(count) {
  return el("span", { class: "stars", role: "img", "aria-label": `${count} / 5` }, "★".repeat(count) + "☆".repeat(5 - count));
}
