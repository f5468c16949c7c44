// Text whose contrast with what is behind it is too low, by element.
() => {
  const parse = text => (text.match(/[\d.]+/g) || []).map(Number);
  const light = parts => { const [r, g, b] = parts.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at), colour = parse(style.backgroundColor);
      if (style.backgroundImage !== 'none' && colour[3] === 0) continue;
      if (colour.length === 3 || colour[3] > 0.99) return colour;
    }
    return document.documentElement.dataset.theme === 'dark' ? [18, 18, 18] : [255, 255, 255];
  };
  const found = {};
  const texts = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement, size = element.getClientRects().length;
    if (!node.textContent.trim() || !size || element.closest('.headerlink, .pce, mjx-container, svg [transform]')
        && !element.closest('.book-figure svg')) continue;
    const svg = element.closest('svg'), style = getComputedStyle(element);
    const ink = parse(svg ? style.fill : style.color);
    if (svg && /#(fff|0a0a0a|262626)/.test(element.getAttribute('style') || '')) continue;  // on a coloured cell
    const [a, b] = [light(ink), light(behind(svg ? svg.parentElement : element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found[`${element.tagName}.${element.className.baseVal ?? element.className}`] =
      `${ratio.toFixed(2)} ${node.textContent.trim().slice(0, 30)}`;
  }
  return found;
}
