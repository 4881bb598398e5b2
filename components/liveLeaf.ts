// A leaf that nginx reads again at every handshake, since its path has a variable: a renewed one is served without a reload.

/** The variable, for nginx's http block. It is empty: all that counts is that the path has one. */
export const leavesMap = 'map $host $leaves { default ""; }';

/** The files of a mounted leaf, as paths that nginx opens at every handshake. A missing file fails the handshake, not the start. */
export function liveLeaf(folder: string) {
  return { cert: `$leaves${folder}/tls.crt`, key: `$leaves${folder}/tls.key` };
}
