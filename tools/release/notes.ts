// A release's notes: its section of the changelog, provided that tag, package and changelog agree.

/**
 * The changelog's section for the tagged version, without its heading.
 * @throws Error if the tag does not match the package's version, or the changelog has no dated section for it.
 */
export function releaseNotes(tag: string, version: string, changelog: string): string {
  if (tag !== `v${version}`)
    throw new Error(`Tag ${tag} does not match the version in package.json, ${version}: tag it v${version}.`);
  const sections = changelog.split(/^## /m).slice(1);
  const section = sections.find((text) => /^(\S+) - \d{4}-\d{2}-\d{2}\n/.exec(text)?.[1] === version);
  if (!section)
    throw new Error(`CHANGELOG.md has no section "## ${version} - YYYY-MM-DD": rename the Unreleased section to it.`);
  return section.slice(section.indexOf("\n")).trim() + "\n";
}
