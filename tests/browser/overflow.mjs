// SPDX-License-Identifier: MIT
// In a page: what sticks out of it, or is wider than its own box. What is in a box that scrolls by
// itself (a selector, or nothing) does neither.
export function overflow(scrolls) {
	const within = e => scrolls && e.closest(scrolls);
	const wide = [...document.querySelectorAll("body *")].filter(e => !within(e) &&
		(e.getBoundingClientRect().right > innerWidth + 1 ||
		(e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display === "block")));

	return wide.map(e => `${e.tagName} ${e.textContent.slice(0, 40)}`)
		.concat([...scrolls ? document.querySelectorAll(scrolls) : []]
			.filter(e => e.getBoundingClientRect().right > innerWidth + 1)
			.map(e => `${e.tagName} that scrolls`))
		.concat(document.documentElement.scrollWidth > innerWidth ? ["the page"] : []);
}
