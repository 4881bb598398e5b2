// HTML and XML by template: whatever is put in is escaped, unless it is such markup itself.

/** Text that is safe to print as it is. */
export class Markup {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

type Piece = string | number | Markup | readonly Markup[];

/** The template's own text stays as it is; values are escaped, for text and for attributes in quotes. */
export function markup(strings: TemplateStringsArray, ...values: readonly Piece[]): Markup {
  return new Markup(strings.map((text, at) => (at === 0 ? "" : printed(values[at - 1] ?? "")) + text).join(""));
}

export const nothing = markup``;

function printed(piece: Piece): string {
  if (typeof piece === "number") return String(piece);
  if (typeof piece === "string") return escaped(piece);
  return piece instanceof Markup ? piece.toString() : piece.join("\n");
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** XML cannot express most control characters, and a server that sends one must not make the file unreadable. */
function escaped(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(unprintable, "\ufffd")
    .replaceAll(/[&<>"']/g, (character) => entities[character] ?? "");
}

const unprintable = /[^\t\n\r\u0020-\u007e\u00a0-\ufffd\u{10000}-\u{10ffff}]/gu;
