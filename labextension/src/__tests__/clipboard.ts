/** Let copying work where there is no clipboard; return what is copied. */
export function clipboard(): string[] {
  const copied: string[] = [];
  const execCommand = (): boolean => {
    const event = Object.assign(new Event('copy'), {
      clipboardData: { setData: (_: string, text: string) => copied.push(text) }
    });
    return document.body.dispatchEvent(event);
  };
  Object.assign(document, { execCommand });
  return copied;
}
