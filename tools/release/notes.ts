// What a release says of itself: its section of the changelog, once tag, package and changelog agree.

/**
 * The changelog's section of the tagged version, without its heading.
 * @throws Error when the tag is not of the package's version, or the changelog has no dated section of it.
 */
export function releaseNotes(tag: string, version: string, changelog: string): string {
  if (tag !== `v${version}`)
    throw new Error(`The tag ${tag} is not of the version in package.json, which is ${version}: tag v${version}.`);
  const sections = changelog.split(/^## /m).slice(1);
  const section = sections.find((text) => /^(\S+) - \d{4}-\d{2}-\d{2}\n/.exec(text)?.[1] === version);
  if (!section)
    throw new Error(`CHANGELOG.md has no section "## ${version} - YYYY-MM-DD": give the Unreleased one this heading.`);
  return section.slice(section.indexOf("\n")).trim() + "\n";
}
