// Why a line cannot be tried here: said in the report, and neither right nor wrong.

/** What a check throws when there is no way to try it; its message is the reason, as a sentence. */
export class Uncheckable extends Error {}
