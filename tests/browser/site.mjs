// SPDX-License-Identifier: MIT
// site.mjs FILE...: what a browser finds in the pages of the site, as JSON. Each is looked at as
// narrow and light, and as wide and dark.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { overflow } from "./overflow.mjs";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
	executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
	args: ["--no-sandbox"],		// tests run as root, in a namespace without network
});
const found = { overflow: {}, violations: {}, requests: [], console: [] };

for (const [width, colorScheme] of [[360, "light"], [1440, "dark"]]) {
	const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });

	page.on("request", request => request.url().startsWith("file:") ||
		found.requests.push(request.url()));
	page.on("console", message => found.console.push(message.text()));
	for (const file of process.argv.slice(2)) {
		const name = `${basename(file)} ${width} ${colorScheme}`;

		await page.goto(pathToFileURL(file).href);
		found.overflow[name] = await page.evaluate(overflow, "pre, .table");
		await page.evaluate(axe);
		// It would ask for the style sheet as a script, which no file may: that is not the page's.
		const { violations } = await page.evaluate(() => window.axe.run({ preload: false }));
		found.violations[name] = violations.map(v => `${v.id}: ${v.nodes[0].html}`);
	}
	await page.close();
}
await browser.close();
console.log(JSON.stringify(found));
