// What is broken off where a part of the page is left too early.

let broken = null;

/** From now on leaving is asked about; `text` says what does not come to be then. Null: nothing is broken off any more. */
export function breaks(text) {
  broken = text;
}

/** Whether the part that is shown may be left, and what that has broken off. */
export function leave() {
  const text = broken;
  if (text !== null && !confirm(`${text} Leave all the same?`)) return { stays: true };
  broken = null;
  return { stays: false, text };
}

addEventListener('beforeunload', (event) => {
  if (broken !== null) event.preventDefault();
});
