// Elements. All of them are made here: text is set as text and attributes as attributes, so that nothing that a znode holds becomes markup.

/** An HTML element. Attributes that are null or false are left out; `onclick` and the like are listeners. */
export function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An SVG element, likewise. */
export function svg(name, attributes, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  const there = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  return there.map((child) => (child instanceof Node ? child : String(child)));
}

/** Puts `children` in the place of what an element holds. */
export function put(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

/** As `put`, for what is drawn again and again: who is on something with the keyboard stays there, or where that is gone with its table; tables stay scrolled. */
export function redraw(element, ...children) {
  const name = (one) => one.getAttribute('href') ?? one.getAttribute('aria-label') ?? one.textContent;
  const tables = () => [...element.querySelectorAll('.scroll')];
  const on = element.contains(document.activeElement) ? name(document.activeElement) : null;
  const aside = tables().map((one) => one.scrollLeft);
  put(element, ...children);
  tables().forEach((one, at) => { one.scrollLeft = aside[at] ?? 0; });
  if (on === null) return;
  const same = [...element.querySelectorAll('a, button, .scroll')].find((one) => name(one) === on);
  (same ?? tables()[0])?.focus({ preventScroll: true });
}

/** Does what a button is for, which cannot be pressed meanwhile. The browser takes the focus from it for that; it gets it back. */
export async function once(button, act) {
  const isOn = button === document.activeElement;
  button.disabled = true;
  try {
    await act();
  } finally {
    button.disabled = false;
    if (isOn && document.activeElement === document.body) button.focus({ preventScroll: true });
  }
}

/** The address of a page: `#/name?key=value`. */
export function link(name, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const text = new URLSearchParams(given).toString();
  return `#/${name}${text ? `?${text}` : ''}`;
}

/** Tells those who do not see the page what has become of what they asked for. */
export function say(text) {
  document.getElementById('said').textContent = text;
}

let numbers = 0;

/** An id that no other element has. */
export function fresh(prefix) {
  numbers += 1;
  return `${prefix}-${numbers}`;
}

/** A field with its label. */
export function field(label, control, hint) {
  const id = fresh('field');
  control.id = id;
  const described = hint ? h('small', { id: `${id}-hint` }, hint) : null;
  if (described) control.setAttribute('aria-describedby', described.id);
  return h('p', { class: 'field' }, h('label', { for: id }, label), control, described);
}

/** One of several choices, of which one is taken. `choices` has [value, label, hint]. */
export function choice(legend, name, choices, chosen, changed) {
  return h('fieldset', {}, h('legend', {}, legend), choices.map(([value, label, hint]) => {
    const id = fresh('choice');
    const input = h('input', { type: 'radio', name, id, value, checked: value === chosen, onchange: () => changed(value) });
    return h('p', { class: 'choice' }, input, h('label', { for: id }, label, hint ? h('small', {}, hint) : null));
  }));
}

/** Names and values, one below the other. Those without a value are left out. */
export function facts(entries) {
  const there = entries.filter(([, value]) => value !== null && value !== undefined && value !== '');
  return h('dl', { class: 'facts' }, there.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}

/** A table that is scrolled by itself where it is too wide. */
export function table(caption, heads, rows) {
  return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
    h('table', {}, h('caption', { class: 'unseen' }, caption),
      h('thead', {}, h('tr', {}, heads.map((head) => h('th', { scope: 'col' }, head)))),
      h('tbody', {}, rows)));
}

/** What went wrong, in words. */
export function wrong(error) {
  return h('p', { class: 'bad box', role: 'alert' }, error.message ?? String(error),
    error.isLost ? [' Look at ', h('a', { href: link('jobs') }, 'Jobs'), ' before you ask again.'] : null);
}
