// Confirmation dialog for deleting a conversation.

const dialog = document.getElementById("delete-dialog");

/**
 * @param {string} title of the conversation
 * @returns {Promise<boolean>} whether to delete it
 */
export function confirmDelete(title) {
  document.getElementById("delete-title").textContent = title || "this conversation";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "delete"), { once: true });
  });
}
