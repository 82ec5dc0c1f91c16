"use strict";
const form = document.querySelector(".filters");
const rows = [...document.querySelectorAll(".matrix tr[data-name]")];

function shown(row, words, group, what) {
	return row.dataset.text.includes(words) && (!group || row.dataset.group === group) &&
		(!what || row.dataset.is.split(" ").includes(what));
}

function filter() {
	const words = form.elements.words.value.trim().toLowerCase();
	const group = form.elements.group.value;
	const what = form.elements.what.value;
	let n = 0;

	for (const row of rows) {
		const on = shown(row, words, group, what);

		row.hidden = !on;
		document.getElementById(row.dataset.name).hidden = !on;
		n += on;
	}
	for (const body of document.querySelectorAll(".matrix tbody"))
		body.hidden = !body.querySelector("tr[data-name]:not([hidden])");
	for (const part of document.querySelectorAll(".class"))
		part.hidden = !part.querySelector("article:not([hidden])");
	form.elements.count.value = `${n} of ${rows.length} attempts are shown`;
}

for (const row of rows)
	row.dataset.text = (row.textContent + " " +
		document.getElementById(row.dataset.name).textContent).toLowerCase();
form.addEventListener("input", filter);
form.addEventListener("submit", event => event.preventDefault());
form.hidden = false;
filter();
