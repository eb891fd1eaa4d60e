// A list of any length, of which only the rows in sight are elements.

import { h, fresh } from './dom.js';

// Pixels, as in app.css.
const HEIGHT = 32;
const BESIDE = 6;

/**
 * `draw(index)` gives the element of a row. `enter(index, target)` is called for a row that is clicked, and where, or chosen with Enter or Space;
 * `key(name, index)` for any other key, and says whether it was one of its own.
 */
export function rows({ label, role, draw, enter, key = () => false }) {
  const id = fresh('row');
  const all = h('div', { class: 'rows-all', role: 'presentation' });
  const box = h('div', { class: 'rows', role, tabindex: 0, 'aria-label': label }, all);
  let count = 0;
  let active = 0;
  let waits = false;

  function render() {
    waits = false;
    all.style.height = `${count * HEIGHT}px`;
    const first = Math.max(0, Math.floor(box.scrollTop / HEIGHT) - BESIDE);
    const last = Math.min(count, Math.ceil((box.scrollTop + box.clientHeight) / HEIGHT) + BESIDE);
    const shown = [];
    for (let index = first; index < last; index += 1) {
      const row = draw(index);
      row.id = `${id}-${index}`;
      row.classList.toggle('active', index === active);
      row.dataset.index = index;
      row.style.top = `${index * HEIGHT}px`;
      shown.push(row);
    }
    all.replaceChildren(...shown);
    if (count > 0) box.setAttribute('aria-activedescendant', `${id}-${active}`);
  }

  function soon() {
    if (waits) return;
    waits = true;
    requestAnimationFrame(render);
  }

  function go(index) {
    active = Math.max(0, Math.min(count - 1, index));
    const top = active * HEIGHT;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = top + HEIGHT - box.clientHeight;
    render();
  }

  box.addEventListener('scroll', soon);
  new ResizeObserver(soon).observe(box);
  box.addEventListener('click', (event) => {
    const row = event.target.closest('[data-index]');
    if (!row) return;
    active = Number(row.dataset.index);
    enter(active, event.target);
    render();
  });
  box.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || count === 0) return;
    const page = Math.max(1, Math.floor(box.clientHeight / HEIGHT) - 1);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -active, End: count - 1 - active };
    if (event.key in moves) go(active + moves[event.key]);
    else if (event.key === 'Enter' || event.key === ' ') enter(active);
    else if (!key(event.key, active)) return;
    event.preventDefault();
  });

  return {
    element: box,
    go,
    render: soon,
    /** There are so many rows from now on. */
    resize(number) {
      count = number;
      active = Math.max(0, Math.min(active, count - 1));
      soon();
    },
  };
}
