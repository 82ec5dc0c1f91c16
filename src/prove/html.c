// SPDX-License-Identifier: MIT
#include "html.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

/* RFC 3629 4: no overlong forms, no surrogates, nothing above U+10FFFF. */
size_t ifp_utf8_length(const char *s)
{
	const uint8_t *p = (const uint8_t *)s;
	uint8_t low = 0x80, high = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	n = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : 4;
	if (n == 4 && (p[0] < 0xf0 || p[0] > 0xf4))
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

void ifp_html_text(FILE *out, const char *text)
{
	while (*text) {
		size_t n = ifp_utf8_length(text);

		if (*text == '&')
			fputs("&amp;", out);
		else if (*text == '<')
			fputs("&lt;", out);
		else if (*text == '>')
			fputs("&gt;", out);
		else if (*text == '"')
			fputs("&quot;", out);
		else if (*text == '\'')
			fputs("&#39;", out);
		else if (!n || (*text > 0 && *text < ' ' && !strchr("\t\n\r", *text)) ||
			 *text == 0x7f)
			fputs("\xef\xbf\xbd", out);
		else
			fwrite(text, n, 1, out);
		text += n ?: 1;
	}
}

void ifp_html(FILE *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			fputc(*fmt, out);
			continue;
		}
		fmt++;
		if (*fmt == 's')
			ifp_html_text(out, va_arg(ap, const char *));
		else if (*fmt == 'u')
			fprintf(out, "%u", va_arg(ap, unsigned int));
		else if (*fmt == '%')
			fputc('%', out);
		else
			assert(!"a conversion that ifp_html() does not know");
	}
	va_end(ap);
}
