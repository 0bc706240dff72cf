/* Linked with what the program loads at first use: see tools/libraries.py. */
int main(void)
{
    return 0;
}
