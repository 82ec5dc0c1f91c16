// SPDX-License-Identifier: MIT
// page.mjs FILE [WIDTH SCHEME]: what a browser finds in a page, as JSON, or only how it looks then.
// What is right the caller knows.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { overflow } from "./overflow.mjs";

const url = pathToFileURL(process.argv[2]).href;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
	executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
	args: ["--no-sandbox"],		// tests run as root, in a namespace without network
});
const found = { overflow: {}, violations: {}, requests: [], console: [] };

async function open(options, visit) {
	const context = await browser.newContext(options);
	const page = await context.newPage();

	page.on("request", request => request.url() === url || found.requests.push(request.url()));
	page.on("console", message => found.console.push(message.text()));
	page.on("pageerror", error => found.console.push(String(error)));
	await page.goto(url);
	const result = await visit(page);
	await context.close();
	return result;
}

async function look(width, colorScheme) {
	await open({ viewport: { width, height: 900 }, colorScheme }, async page => {
		const name = `${width} ${colorScheme}`;

		found.overflow[name] = await page.evaluate(overflow);
		await page.evaluate(axe);
		const { violations } = await page.evaluate(() => window.axe.run());
		found.violations[name] = violations.map(v => `${v.id}: ${v.nodes[0].html}`);
	});
}

const names = () => [...document.querySelectorAll(".matrix tr[data-name]")]
	.filter(row => row.checkVisibility()).map(row => row.dataset.name);
const articles = () => [...document.querySelectorAll("article")]
	.filter(part => part.checkVisibility()).map(part => part.id);

async function filters() {
	await open({ viewport: { width: 1440, height: 900 } }, async page => {
		found.filtered = {};
		for (const [control, value] of [["words", "xdp"], ["words", ""], ["group", "join"],
			["group", ""], ["what", "open"], ["what", "btd"], ["what", "untried"]]) {
			const field = page.locator(`[name=${control}]`);

			await (control === "words" ? field.fill(value) : field.selectOption(value));
			found.filtered[`${control}=${value}`] = {
				rows: await page.evaluate(names),
				articles: await page.evaluate(articles),
				said: await page.locator("[name=count]").textContent(),
			};
		}
	});
}

async function withoutScripts() {
	await open({ viewport: { width: 360, height: 900 }, javaScriptEnabled: false }, async page => {
		found.still = {
			rows: await page.locator(".matrix tr[data-name]:visible").count(),
			articles: await page.locator("article:visible").count(),
			filters: await page.locator(".filters:visible").count(),
			text: await page.locator("body").innerText(),
		};
	});
}

async function keyboard() {
	await open({ viewport: { width: 1440, height: 900 } }, async page => {
		const where = () => page.evaluate(() => document.activeElement.outerHTML.slice(0, 60));

		found.keys = [];
		for (const key of ["Tab", "Enter", "Tab"]) {
			await page.keyboard.press(key);
			found.keys.push(await where());
		}
	});
}

async function paper() {
	await open({ viewport: { width: 703, height: 1017 } }, async page => {	// A4 without its margins
		await page.emulateMedia({ media: "print" });
		found.overflow.print = await page.evaluate(overflow);
		found.printed = {
			filters: await page.locator(".filters:visible").count(),
			rows: await page.locator(".matrix tr[data-name]:visible").count(),
		};
		found.pdf = (await page.pdf({ preferCSSPageSize: true })).toString("latin1")
			.match(/\/MediaBox\s*\[[^\]]*\]/)[0];
	});
}

if (process.argv.length > 4) {
	await look(Number(process.argv[3]), process.argv[4]);
} else {
	for (const width of [360, 1440])
		for (const scheme of ["light", "dark"])
			await look(width, scheme);
	await filters();
	await withoutScripts();
	await keyboard();
	await paper();
}
await browser.close();
console.log(JSON.stringify(found));
