// How a verdict looks on the page: always a symbol and a word, so that nobody depends on its colour.

import { type Tally, type Verdict } from "./findings.ts";
import { type Markup, markup } from "./markup.ts";

export const symbols: Readonly<Record<Verdict, string>> = {
  right: "✓",
  warning: "!",
  wrong: "✗",
  "not checked": "–",
};

const classes: Readonly<Record<Verdict, string>> = {
  right: "right",
  warning: "warning",
  wrong: "wrong",
  "not checked": "unchecked",
};

export function badge(verdict: Verdict): Markup {
  return markup`<span class="verdict ${classes[verdict]}"><span aria-hidden="true">${symbols[verdict]}</span> ${verdict}</span>`;
}

/** The verdicts that occur, with their numbers, the worst first. */
export function summary(tally: Tally): Markup {
  const worstFirst = ["wrong", "warning", "not checked", "right"] as const;
  const some = worstFirst.filter((verdict) => tally[verdict] > 0);
  return markup`<span class="summary">${some.map(
    (verdict) =>
      markup`<span class="verdict ${classes[verdict]}"><span aria-hidden="true">${symbols[verdict]}</span> ${tally[verdict]} ${verdict}</span>`,
  )}</span>`;
}
