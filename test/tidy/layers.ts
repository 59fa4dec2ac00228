// The layers of src, for the rules that speak of them.

/** Innermost first. A file may import from its own row and from the rows above it. */
export const ROWS: readonly (readonly string[])[] = [
  ['lib'],
  ['config'],
  ['wire'],
  ['net', 'policy', 'spool', 'queue'],
  ['session', 'deliver', 'store', 'report'],
  ['admin', 'cli'],
  ['threads'],
  ['.'],
]
