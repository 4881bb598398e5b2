/** A headless Chromium from npm, unpacked into the cache: opens verify's page as a browser does. Nothing is installed on this machine. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";
import { execa } from "execa";
import { cached, keyOf, type Part } from "./cache.ts";

/** The package brings the program itself, its libraries and a font: 70 MB, for x86-64 alone. */
const version = "153.0.0";
const sha512 = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==";

export const hasChromium = process.platform === "linux" && process.arch === "x64";

/** A folder with `chromium`, its libraries in `lib`, and `fonts.conf`. */
export async function chromium(progress: (line: string) => void): Promise<Part> {
  return cached("bin", "chromium", keyOf(sha512, fonts), async (path) => {
    const packed = `${path}-npm`;
    await mkdir(packed, { recursive: true });
    await mkdir(path, { recursive: true });
    progress(`@sparticuz/chromium ${version}`);
    const pack = ["pack", "--silent", `@sparticuz/chromium@${version}`];
    const { stdout: archive } = await execa("npm", pack, { cwd: packed });
    await check(join(packed, archive));
    await execa("tar", ["-xzf", archive], { cwd: packed });
    const inflated = async (name: string, to: string) => {
      const from = join(packed, "package/bin", `${name}.br`);
      await pipeline(createReadStream(from), createBrotliDecompress(), createWriteStream(to));
      return to;
    };
    await chmod(await inflated("chromium", join(path, "chromium")), 0o755);
    for (const name of ["al2023.tar", "fonts.tar"])
      await execa("tar", ["-xf", await inflated(name, join(packed, name)), "-C", path]);
    await writeFile(join(path, "fonts.conf"), fonts);
    await rm(packed, { recursive: true });
  });
}

async function check(archive: string): Promise<void> {
  const found = createHash("sha512")
    .update(await readFile(archive))
    .digest("base64");
  if (found !== sha512)
    throw new Error(
      `@sparticuz/chromium ${version} is not the package it was: its SHA-512 is ${found}, expected ${sha512}.`,
    );
}

/** This machine's fonts, if any, come second: the package's own has no symbols. */
const fonts = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
`;
